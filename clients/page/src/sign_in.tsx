// Asks for a token where the gateway wants one.

import type { Session } from './session.js';

export function SignIn({ session, problem, done }: { session: Session; problem: string; done(): void }) {
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        const token = new FormData(event.currentTarget).get('token');
        session.signIn(String(token).trim());
        done();
      }}
    >
      <h1>This gateway asks for a token</h1>
      <p class="quiet">It stays in this tab and is gone when the tab is closed.</p>
      <label>
        Token
        <input name="token" type="password" required autocomplete="off" spellcheck={false} autofocus />
      </label>
      {session.token && (
        <p class="failure" role="alert">
          {problem}
        </p>
      )}
      <button type="submit" class="button strong">
        Open
      </button>
    </form>
  );
}
