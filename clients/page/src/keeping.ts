// What a browser keeps for the page. It may refuse: then nothing is kept, and everything else works.

export class Keeping {
  constructor(
    readonly storage: () => Storage,
    readonly key: string,
  ) {}

  get(): string | undefined {
    try {
      return this.storage().getItem(this.key) ?? undefined;
    } catch {
      return undefined;
    }
  }

  set(text: string | undefined): void {
    try {
      if (text === undefined) this.storage().removeItem(this.key);
      else this.storage().setItem(this.key, text);
    } catch {
      // It lasts as long as the page.
    }
  }
}
