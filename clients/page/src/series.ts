// One numeric value of a job over its iterations, with the best so far, and its reduction for a chart.

/** More points than this are thinned out, by the lowest and highest of each stretch. */
const MOST_POINTS = 200_000;
/** A point is sorted in among so many of the last; reports that go back further are counted instead. */
const MOST_BACK = 1_000;

/** Names of values that are better when they are lower. */
const LOWER_IS_BETTER = /loss|error|\b(err|cost|mse|rmse|mae)\b|length|distance|perplexity|latency|duration|_ms$/i;

/** What a chart draws of a series. */
export interface Line {
  xs: number[];
  ys: (number | null)[];
  best: (number | null)[];
  /** Points in the interval, and whether fewer are drawn. */
  points: number;
  isReduced: boolean;
}

export class Series {
  readonly xs: number[] = [];
  readonly ys: number[] = [];
  readonly best: number[] = [];
  /** Indices before which events may be missing. */
  readonly gaps: number[] = [];
  readonly isLowerBetter: boolean;
  /** The points that came, also those that were thinned out. */
  count = 0;
  isThinned = false;
  /** The axis counts reports: the iterations are in no order. */
  isCounted = false;
  #isRestarted = false;
  #isGapNext = false;

  constructor(readonly name: string) {
    this.isLowerBetter = LOWER_IS_BETTER.test(name);
  }

  get last(): number | undefined {
    return this.ys.at(-1);
  }

  get bestSoFar(): number | undefined {
    return this.best.at(-1);
  }

  /** The job runs again: iterations that it does again replace what they had reported. */
  restart(): void {
    this.#isRestarted = true;
  }

  gap(): void {
    this.#isGapNext = this.xs.length > 0;
  }

  add(x: number, y: number): void {
    if (this.isCounted) x = this.xs.at(-1)! + 1;
    let at = firstAbove(this.xs, x);
    if (this.#isRestarted) {
      while (at > 0 && this.xs[at - 1] === x) at--;
      for (const column of [this.xs, this.ys, this.best]) column.length = at;
      while (this.gaps.at(-1)! >= at) this.gaps.pop();
      this.#isRestarted = false;
    } else if (at < this.xs.length - MOST_BACK) {
      this.isCounted = true;
      this.xs.forEach((_, at) => (this.xs[at] = at + 1));
      return this.add(x, y);
    }
    if (this.#isGapNext) this.gaps.push(at);
    this.#isGapNext = false;
    this.count++;
    if (at === this.xs.length) {
      this.xs.push(x);
      this.ys.push(y);
    } else {
      // Trials that run side by side may end in another order than they began.
      this.xs.splice(at, 0, x);
      this.ys.splice(at, 0, y);
    }
    this.#improve(at);
    if (this.xs.length > MOST_POINTS) this.#thin();
  }

  #improve(from: number): void {
    const better = this.isLowerBetter ? Math.min : Math.max;
    for (let at = from; at < this.ys.length; at++) {
      this.best[at] = at ? better(this.best[at - 1]!, this.ys[at]!) : this.ys[at]!;
    }
  }

  /** Halves the points: of each four that follow each other the lowest and the highest stay. */
  #thin(): void {
    const kept: number[] = [];
    for (let at = 0; at < this.ys.length; at += 4) kept.push(...extremes(this.ys, at, Math.min(at + 4, this.ys.length)));
    const gaps = this.gaps.map((gap) => kept.findIndex((at) => at >= gap)).filter((at) => at > 0);
    this.gaps.splice(0, Infinity, ...gaps);
    for (const column of [this.xs, this.ys, this.best]) {
      kept.forEach((at, index) => (column[index] = column[at]!));
      column.length = kept.length;
    }
    this.isThinned = true;
  }

  /** What to draw from `low` to `high` on so many pixels: at most two points for each. */
  line(low: number, high: number, pixels: number): Line {
    const from = Math.max(0, firstAtLeast(this.xs, low) - 1);
    const to = Math.min(this.xs.length, firstAtLeast(this.xs, high + Number.EPSILON * Math.abs(high)) + 1);
    const line: Line = { xs: [], ys: [], best: [], points: to - from, isReduced: to - from > 2 * pixels };
    const put = (at: number) => {
      line.xs.push(this.xs[at]!);
      line.ys.push(this.ys[at]!);
      line.best.push(this.best[at]!);
    };
    const bounds = [from, ...this.gaps.filter((gap) => gap > from && gap < to), to];
    for (let stretch = 0; stretch + 1 < bounds.length; stretch++) {
      const [begin, end] = [bounds[stretch]!, bounds[stretch + 1]!];
      if (stretch) {
        line.xs.push((this.xs[begin - 1]! + this.xs[begin]!) / 2);
        line.ys.push(null);
        // Something better may have been lost.
        line.best.push(null);
      }
      const step = line.isReduced ? Math.max(1, (to - from) / pixels) : 1;
      if (step <= 2) for (let at = begin; at < end; at++) put(at);
      else {
        for (let at = begin; at < end; at += step) {
          for (const kept of extremes(this.ys, Math.floor(at), Math.min(end, Math.floor(at + step)))) put(kept);
        }
      }
    }
    return line;
  }

  /** Where events may be missing, on the x axis. */
  gapPlaces(): [number, number][] {
    return this.gaps.map((at) => [this.xs[at - 1] ?? this.xs[at]!, this.xs[at]!]);
  }
}

/** Indices of the lowest and the highest, in their order; one where they are the same. */
function extremes(ys: readonly number[], from: number, to: number): number[] {
  let low = from;
  let high = from;
  for (let at = from + 1; at < to; at++) {
    if (ys[at]! < ys[low]!) low = at;
    if (ys[at]! >= ys[high]!) high = at;
  }
  if (from >= to) return [];
  return low === high ? [low] : low < high ? [low, high] : [high, low];
}

/** Mostly it is the end. */
function firstAbove(xs: readonly number[], x: number): number {
  let at = xs.length;
  const least = Math.max(0, at - MOST_BACK - 1);
  while (at > least && xs[at - 1]! > x) at--;
  return at > least ? at : firstAtLeast(xs, x + Number.EPSILON * Math.max(1, Math.abs(x)));
}

function firstAtLeast(xs: readonly number[], x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
