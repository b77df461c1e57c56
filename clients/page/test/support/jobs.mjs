// Jobs as they are in the field, event by event.

const START = Date.parse('2026-03-01T10:00:00Z');
const at = (seconds, base = START) => new Date(base + seconds * 1000).toISOString();

/** The same numbers each time. */
export function numbers(seed = 1) {
  let state = seed;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
}

export function optimization(iterations, { seed = 1, total = iterations, base = Date.now() - iterations * 2000 } = {}) {
  const random = numbers(seed);
  const stages = ['propose', 'evaluate', 'select', 'refine'];
  const events = [{ eventType: 'job_started', data: { config: { iterations: total } }, timestamp: at(0, base) }];
  let level = 0.3;
  for (let iteration = 1; iteration <= iterations; iteration++) {
    level += (0.93 - level) * 0.04 * random();
    const stage = stages[Math.min(3, Math.floor((iteration / total) * 4))];
    const data = { score: level - random() * 0.12, temperature: Math.exp(-iteration / 40), candidates: 8 + Math.floor(random() * 8) };
    events.push({ eventType: 'iteration_completed', iteration, stage, data, timestamp: at(iteration * 2, base) });
    if (iteration % 10 === 0) events.push({ eventType: 'log', data: { level: 'info', message: `checkpoint ${iteration / 10} written` }, timestamp: at(iteration * 2 + 1, base) });
  }
  return events;
}

export function training(epochs, { seed = 1, total = epochs, base = Date.now() - epochs * 5000 } = {}) {
  const random = numbers(seed);
  const events = [{ eventType: 'job_started', data: { config: { lr: 0.001 } }, timestamp: at(0, base) }];
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const loss = 2.2 * Math.exp(-epoch / 18) + 0.08 + random() * 0.05;
    const data = { progress: epoch / total, total_epochs: total, current_loss: loss, val_loss: loss * 1.1 + 0.04 + random() * 0.05, accuracy: 1 - loss / 3, learning_rate: 0.001 * 0.97 ** epoch };
    events.push({ eventType: 'progress', iteration: epoch, data, timestamp: at(epoch * 5, base) });
  }
  return events;
}

const STEPS = [
  ['entity_extraction', undefined, 'Found 2 links, 1 phone number and 1 company name', 15],
  ['scam_db', 'scam_database', 'Looking up 4 entities', 35],
  ['scam_db', 'scam_database', 'One phone number was reported 12 times', 45],
  ['exa_search', 'web_search', 'Reading 6 pages about the company', 55],
  ['domain_reputation', 'whois', 'The domain was registered 9 days ago', 60],
  ['reasoning', undefined, 'Weighing what was found', 85],
];

export const agent = (steps = STEPS.length, { base = Date.now() - 20_000 } = {}) =>
  STEPS.slice(0, steps).map(([stage, tool, message, percent], step) => ({ eventType: 'progress', stage, data: { ...(tool && { tool }), message, percent }, timestamp: at(step * 2.4, base) }));

export const COMPLETED = { eventType: 'job_completed', data: { finalScore: 0.93 } };
