// What a job went through: a bar of its stages over time, or for an agent its steps, one below the other.

import { useState } from 'preact/hooks';

import type { History, Stage } from './history.js';
import { duration, plural } from './text.js';

const TONES = 6;
const FEW = 8;

/** The end of a stage that goes on is now. */
const lengthOf = (stage: Stage, isLive: boolean) => (stage.isOver || !isLive ? stage.end : Math.max(stage.end, Date.now())) - stage.begin;

export function Stages({ history, isLive, open }: { history: History; isLive: boolean; open(id: number): void }) {
  const { stages } = history;
  const names = [...new Set(stages.map(({ name }) => name))];
  const byName = names.map((name) => {
    const all = stages.filter((stage) => stage.name === name);
    return { name, times: all.length, length: all.reduce((sum, stage) => sum + lengthOf(stage, isLive), 0), isNow: stages.at(-1)!.name === name && !history.isOver };
  });
  const whole = byName.reduce((sum, { length }) => sum + length, 0) || 1;
  const toneOf = (name: string) => `stage-${names.indexOf(name) % TONES}`;
  return (
    <section class="panel" aria-labelledby="stages-title">
      <h2 id="stages-title">Stages</h2>
      <div class="timeline">
        {stages.map((stage) => (
          <button
            type="button"
            key={stage.firstId}
            class={toneOf(stage.name)}
            tabIndex={-1}
            aria-hidden="true"
            title={`${stage.name}, ${duration(lengthOf(stage, isLive))}`}
            style={{ flexGrow: Math.max(lengthOf(stage, isLive) / whole, 0.002) }}
            onClick={() => open(stage.firstId)}
          />
        ))}
      </div>
      <ol class="stages">
        {byName.map(({ name, times, length, isNow }) => (
          <li key={name} aria-current={isNow ? 'step' : undefined}>
            <i class={toneOf(name)} />
            <button type="button" class="plain" onClick={() => open(stages.find((stage) => stage.name === name)!.firstId)}>
              {name}
            </button>
            <span class="quiet">
              {duration(length)}
              {times > 1 && `, ${times} times`}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

export function Steps({ history, isLive, open }: { history: History; isLive: boolean; open(id: number): void }) {
  const [isWhole, showAll] = useState(false);
  const { stages } = history;
  const shown = isWhole ? stages : stages.slice(-FEW);
  const hidden = stages.length - shown.length;
  return (
    <section class="panel" aria-labelledby="steps-title">
      <h2 id="steps-title">Steps</h2>
      {hidden > 0 && (
        <button type="button" class="plain small" onClick={() => showAll(true)}>
          Show {plural(hidden, 'earlier step')}
        </button>
      )}
      <ol class="steps">
        {shown.map((stage) => {
          const state = stage.isFailed ? 'failed' : stage.isOver ? 'done' : isLive ? 'running' : 'open';
          return (
            <li key={stage.firstId} data-state={state} aria-current={state === 'running' ? 'step' : undefined}>
              <i class="mark" role="img" aria-label={state} />
              <div>
                <button type="button" class="plain name" onClick={() => open(stage.firstId)}>
                  {stage.name.replaceAll('_', ' ')}
                </button>
                {stage.tool && <code>{stage.tool}</code>}
                {stage.message && <p>{stage.message}</p>}
              </div>
              <span class="quiet">{duration(lengthOf(stage, isLive))}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
