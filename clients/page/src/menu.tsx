// A button that opens a list of choices, and closes it when one looks elsewhere.

import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';

export function Menu({ label, description, children }: { label: string; description: string; children(close: () => void): ComponentChildren }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => {
    menu.current!.open = false;
    menu.current!.querySelector('summary')!.focus();
  };
  return (
    <details
      class="menu"
      ref={menu}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !menu.current!.open) return;
        event.stopPropagation();
        close();
      }}
      onFocusOut={(event) => {
        if (event.relatedTarget && !menu.current!.contains(event.relatedTarget as Node)) menu.current!.open = false;
      }}
    >
      <summary class="button">{label}</summary>
      <div class="choices" role="group" aria-label={description}>
        {children(close)}
      </div>
    </details>
  );
}
