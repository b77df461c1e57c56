// Reading a job to a list, with patience that ends.

const PATIENCE = 15_000;

/** Fails a test in which something does not happen. */
export async function within(what, promise, milliseconds = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms: ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next events of an iteration, or fewer if it ends. */
export async function take(iteration, count) {
  const events = [];
  while (events.length < count) {
    const { done, value } = await within(`event ${events.length + 1} of ${count}`, iteration.next());
    if (done) break;
    events.push(value);
  }
  return events;
}

/** Everything to the end of the job. */
export const takeAll = (iteration) => take(iteration, Infinity);

export const ids = (events) => events.map((event) => event.id ?? event.eventType);

export async function eventually(what, holds) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
