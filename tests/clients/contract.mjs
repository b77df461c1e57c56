// What each system's contract says of the messages that its clients receive. Whatever is not so is
// a violation; fields that a client of the system would overlook are overlooked.

export class Violation extends Error {}

const string = (value) => typeof value === 'string';
const number = (value) => typeof value === 'number';
const integer = (value) => Number.isSafeInteger(value);
const object = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const truth = (value) => typeof value === 'boolean';
const exactly = (wanted) => (value) => value === wanted;
const one = (...wanted) => (value) => wanted.includes(value);
const between = (least, most) => (value) => number(value) && value >= least && value <= most;
const time = (value) =>
  string(value) &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$/.test(value) &&
  !Number.isNaN(Date.parse(value));

function claim(holds, what, seen) {
  if (!holds) throw new Violation(`${what}: ${JSON.stringify(seen)}`);
}

/** Checks the types of fields that must be there and of fields that may be. */
function check(message, required, optional = {}) {
  claim(object(message), 'not an object', message);
  for (const [name, is] of Object.entries(required)) {
    claim(Object.hasOwn(message, name), `${name} is missing`, message);
    claim(is(message[name]), `${name} is wrong`, message);
  }
  for (const [name, is] of Object.entries(optional)) {
    claim(!Object.hasOwn(message, name) || is(message[name]), `${name} is wrong`, message);
  }
}

function parse(text) {
  claim(string(text), 'not a text message', null);
  try {
    return JSON.parse(text);
  } catch {
    throw new Violation(`not JSON: ${text}`);
  }
}

/** The check of one of several types, by the field `type`. */
function checkByType(message, checks) {
  claim(object(message) && string(message.type), 'no type', message);
  claim(Object.hasOwn(checks, message.type), 'an unknown type', message);
  checks[message.type](message);
}

export class OptimizationContract {
  constructor(job, after) {
    this.job = job;
    this.last = after ?? 0;
  }

  receive(text) {
    const message = parse(text);
    const ours = { jobId: exactly(this.job) };
    checkByType(message, {
      subscribed: () => check(message, ours),
      unsubscribed: () => check(message, ours),
      pong: () => {},
      error: () => check(message, { error: string }, ours),
      event: () => {
        check(message, { ...ours, event: object });
        this.event(message.event);
      },
      replay: () => {
        check(message, { data: Array.isArray }, ours);
        message.data.forEach((event) => this.event(event));
      },
    });
    return message;
  }

  event(event) {
    const required = { id: integer, eventType: string, timestamp: time };
    check(event, required, { iteration: number, stage: string, data: object });
    claim(event.id > this.last, `not after ${this.last}`, event);
    this.last = event.id;
  }
}

export class BeamSearchContract {
  constructor(job) {
    this.job = job;
  }

  receive(text) {
    const message = parse(text);
    check(message, { type: string, jobId: exactly(this.job), timestamp: time });
    checkByType(message, {
      started: () => {
        check(message, { config: object });
        check(message.config, { prompt: string, N: integer, M: integer, iterations: integer });
      },
      iteration: () => {
        const required = { iteration: integer, totalIterations: integer, status: string };
        check(message, { ...required, dimension: one('what', 'how') });
      },
      candidate: () => {
        check(message, { iteration: integer, candidateId: integer, totalCandidates: integer });
        const scores = { totalScore: number, alignmentScore: number, aestheticScore: number };
        check(message.score, scores);
      },
      complete: () => {
        check(message.result, { bestCandidate: object, iterations: integer, duration: number });
        const prompts = { whatPrompt: string, howPrompt: string, combinedPrompt: string };
        const best = { ...prompts, imagePath: string, totalScore: number };
        check(message.result.bestCandidate, best);
      },
      error: () => check(message.error, { message: string, code: string }),
    });
    return message;
  }
}

export class TrainingContract {
  constructor(job) {
    const isNumber = /^(0|[1-9]\d*)$/.test(job) && Number(job) <= Number.MAX_SAFE_INTEGER;
    this.job = isNumber ? Number(job) : job;
    this.messages = 0;
    this.isFinal = false;
    this.hasLoss = false;
  }

  receive(text) {
    const message = parse(text);
    claim(!this.isFinal, 'a message after the final one', message);
    const counts = { progress: between(0, 1), current_epoch: number, total_epochs: number };
    check(message, { job_id: exactly(this.job), timestamp: time, ...counts });
    this.hasLoss ||= number(message.current_loss);
    const loss = this.hasLoss ? { current_loss: number } : {};
    const status = one('pending', 'running', 'paused', 'succeeded', 'failed', 'stopped');
    checkByType(message, {
      progress: () => check(message, { status, ...loss }),
      log: () => check(message, { level: string, message: string }),
      complete: () => {
        check(message, { status: exactly('succeeded'), model_id: string, final_metrics: object });
        this.isFinal = true;
      },
      error: () => {
        check(message, { status: exactly('failed'), error_message: string });
        this.isFinal = true;
      },
    });
    claim(this.messages > 0 || message.type === 'progress', 'not the status first', message);
    this.messages += 1;
    // A job that was stopped has no other last message.
    this.isFinal ||= message.status === 'stopped';
    return message;
  }

  closed(code) {
    claim(this.isFinal && code === 1000, 'closed before the final message, or not with 1000', code);
  }
}

/** The same run as a resource that is polled. */
export class TrainingResourceContract extends TrainingContract {
  receive(text) {
    const state = parse(text);
    const counts = { progress: between(0, 1), current_epoch: number, total_epochs: number };
    const status = one('pending', 'running', 'paused', 'succeeded', 'failed', 'stopped');
    check(state, { job_id: exactly(this.job), status, ...counts }, { current_loss: number });
    if (state.status === 'succeeded') check(state, { model_id: string, final_metrics: object });
    if (state.status === 'failed') check(state, { error_message: string });
    this.isFinal = ['succeeded', 'failed', 'stopped'].includes(state.status);
    return state;
  }
}

export class AgentContract {
  constructor() {
    this.messages = 0;
    this.heartbeats = 0;
    this.isFinal = false;
  }

  receive(text) {
    const message = parse(text);
    claim(!this.isFinal, 'a message after the final one', message);
    claim(object(message), 'not an object', message);
    if (Object.hasOwn(message, 'heartbeat')) {
      check(message, { heartbeat: exactly(true), timestamp: time });
      claim(Object.keys(message).length === 2, 'a heartbeat with more to it', message);
      claim(this.messages > 0, 'a heartbeat before the first message', message);
      this.heartbeats += 1;
      return message;
    }
    const required = { step: string, message: string, percent: between(0, 100), timestamp: time };
    check(message, required, { tool: string, error: truth });
    // 40 and 40.0 are one to JavaScript, but not to every decoder of integers.
    claim(/"percent":\s*\d+\s*[,}]/.test(text), 'percent is not written as an integer', text);
    this.step(message);
    this.messages += 1;
    return message;
  }

  step({ step, message, percent, error }) {
    const isFirst = this.messages === 0;
    claim(isFirst === (step === 'connected'), 'connected is not the first and only the first', step);
    if (isFirst) {
      claim(message === 'Connected to agent progress stream', 'another first message', message);
      claim(percent === 0, 'connected at another percentage', percent);
    }
    if (step === 'completed') claim(percent === 100 && !error, 'completed, but not at 100', percent);
    if (step === 'failed') claim(percent === 0 && error === true, 'failed, but no error', percent);
    this.isFinal = step === 'completed' || step === 'failed';
  }

  closed(code) {
    claim(this.isFinal && code === 1000, 'closed before the final message, or not with 1000', code);
  }
}

/** Whether no event of a job follows this one, unless it is run again. */
export function isFinal({ eventType, data }) {
  if (eventType === 'job_failed') return data?.willRetry !== true;
  return eventType === 'job_completed' || eventType === 'job_cancelled';
}
