// The page of jobwire: the list of jobs, and one job followed over the `optimization` dialect.
// Any job can be shown, so every field of an event may be missing. What the server sent enters
// the page as text only, never as markup.

const LOG_ROWS = 200;
const MAX_POINTS = 20_000;
const ENDINGS = ["succeeded", "failed", "stopped"];
const STATUS_AFTER = {
  job_created: "pending", job_started: "running", iteration_completed: "running", job_paused: "paused",
  job_resumed: "running", job_completed: "succeeded", job_failed: "failed", job_cancelled: "stopped",
};

// ---------------------------------------------------------------- small things

const $ = (id) => document.getElementById(id);
const isNumber = Number.isFinite;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const whole = (n) => n.toLocaleString("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

function age(timestamp) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(timestamp)) / 1000)); // clocks differ: never "-1 s"
  if (Number.isNaN(seconds)) return "";
  const [size, unit] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function make(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

// Writes only what changed: live regions then speak once, and nothing is laid out for nothing.
function put(element, text, tone) {
  if (element.textContent !== text) element.textContent = text;
  if (tone && element.dataset.tone !== tone) element.dataset.tone = tone;
}

// One line for any event: its plain values, one level deep. Arrays would not fit.
function describe({ iteration, stage, data }) {
  const flat = Object.entries({ iteration, ...(isObject(data) ? data : {}) })
    .flatMap(([name, value]) => (isObject(value) ? Object.entries(value) : [[name, value]]))
    .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
    .map(([name, value]) => [name, isNumber(value) && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value])
    .map(([name, value]) => (name === "message" || name === "error" ? value : `${name} ${value}`));
  return [stage, ...flat].filter(Boolean).join(" · ").slice(0, 300);
}

// ------------------------------------------------------- what is known of a job

/** Scores in rising iterations, and the steps of the best so far. */
class Series {
  xs = [];
  ys = [];
  records = []; // [iteration, score] of each improvement

  add(x, y) {
    // An iteration done again, after a retry or a resume, replaces what it had reported.
    while (this.xs.at(-1) >= x) this.xs.pop(), this.ys.pop();
    while (this.records.at(-1)?.[0] >= x) this.records.pop();
    this.xs.push(x);
    this.ys.push(y);
    if (!(this.records.at(-1)?.[1] >= y)) this.records.push([x, y]);
    if (this.xs.length <= MAX_POINTS) return;
    const half = (_, i) => i % 2; // a page may be open for days: older points become coarser, records stay
    [this.xs, this.ys] = [this.xs.filter(half), this.ys.filter(half)];
  }
}

class Job {
  notes = new Map(); // code -> text

  constructor(kind, jobId) {
    Object.assign(this, { kind, jobId });
    this.clear();
  }

  clear() {
    const unknown = ["last", "status", "iteration", "stage", "progress", "score", "optimum", "places", "tour"];
    for (const name of unknown) this[name] = null;
    Object.assign(this, { count: 0, bestScore: -Infinity, bestLength: Infinity, series: new Series(), fresh: [], cleared: true });
  }

  take(event) {
    const data = isObject(event.data) ? event.data : {};
    const retries = event.eventType === "job_failed" && data.willRetry === true;
    this.status = retries ? "pending" : (STATUS_AFTER[event.eventType] ?? this.status ?? "running");
    this.last = event;
    this.count += 1;
    this.fresh.push(event); // for the log, which of a long history only shows the end
    if (this.fresh.length > 2 * LOG_ROWS) this.fresh.splice(0, LOG_ROWS);
    if (isNumber(event.iteration)) this.iteration = event.iteration;
    if (typeof event.stage === "string") this.stage = event.stage;
    if (isNumber(data.progress ?? data.percent)) this.progress = data.progress ?? data.percent / 100;
    if (isObject(data.config)) this.takeConfig(data.config);
    this.takeResult(event, data);
  }

  takeConfig({ optimum, places }) {
    if (optimum > 0) this.optimum = optimum;
    const isPlace = (place) => isNumber(place?.[0]) && isNumber(place[1]);
    if (Array.isArray(places) && places.length > 1 && places.every(isPlace)) this.places = places;
  }

  takeResult({ iteration, eventType }, { score, finalScore, length, best, bestLength, tour }) {
    if (isNumber(score)) {
      this.score = score;
      this.series.add(isNumber(iteration) ? iteration : (this.series.xs.at(-1) ?? 0) + 1, score);
    }
    // `best` is a length where lengths are reported, else a score; it knows of what a cut history does not show.
    const bestIsLength = isNumber(length) && best > 1;
    this.bestScore = Math.max(this.bestScore, ...[score, finalScore, bestIsLength ? null : best].filter(isNumber));
    this.bestLength = Math.min(this.bestLength, ...[length, bestLength, bestIsLength ? best : null].filter(isNumber));
    if (!Array.isArray(tour) || tour.length < 2) return; // none told: the last one stays
    const source = eventType === "job_completed" ? "result" : isNumber(iteration) && `iteration ${whole(iteration)}`;
    this.tour = { order: tour, text: [source, isNumber(length) && `length ${whole(length)}`].filter(Boolean).join(" · ") };
  }
}

// --------------------------------------------------------------- the connection

const NOTES = {
  JOB_NOT_FOUND: () => "There is no such job, or not yet. Asking again every 2 seconds.",
  HISTORY_TRUNCATED: ({ firstAvailable }) => `Events before #${firstAvailable ?? "?"} are gone: the history shown is not complete.`,
  CURSOR_INVALID: () => "The server's log was started anew. What you see comes from the new one.",
  EVENT_MALFORMED: ({ id }) => `An event that could not be read was left out${id ? `: #${id}` : ""}.`,
};
const ASK_AGAIN_AFTER = { JOB_NOT_FOUND: 2000, UNAVAILABLE: 4000, LIMIT: 8000 };

/** Follows one job; after any break it goes on behind the last id it saw. */
class Feed {
  cursor = 0; // the last id seen
  epoch = undefined; // of the log the cursor belongs to
  tries = 0;

  constructor(job, changed) {
    Object.assign(this, { job, changed });
    this.pinger = setInterval(() => this.ping(), 30_000);
    this.open();
  }

  open() {
    const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/ws/optimization`);
    // A socket given up may still speak: only the current one is listened to.
    const ifCurrent = (act) => (event) => { if (socket === this.socket) act(event); };
    socket.onopen = ifCurrent(() => this.subscribe());
    socket.onmessage = ifCurrent((event) => this.receive(event.data));
    socket.onclose = ifCurrent((event) => this.lost(event.code, event.reason));
    this.socket = socket;
    this.heard = true;
    this.become("connecting");
  }

  // connecting, catching (up), live, waiting (to connect again), absent, refused, closed
  become(state) {
    if (state === "live" && this.state !== "live") this.liveSince = Date.now();
    this.state = state;
    this.changed();
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  subscribe() {
    const { kind, jobId } = this.job;
    this.send({ type: "subscribe", jobId, kind, afterEventId: this.cursor, epoch: this.epoch, position: true });
  }

  ping() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (!this.heard) return this.lost(); // not even a pong: the network went away without a close
    this.heard = false;
    this.send({ type: "ping" });
  }

  lost(code, reason) {
    this.letGo();
    if (code === 1000 && ENDINGS.includes(this.job.status)) return this.become("closed");
    if (this.state === "live" && Date.now() - this.liveSince > 5000) this.tries = 0;
    // A gateway that restarts says when to come back. Else full jitter: many that fell together must not return together.
    const told = code === 1012 ? Number.parseInt(reason, 10) : NaN;
    const wait = told >= 0 ? Math.min(told, 60_000) : Math.random() * Math.min(10_000, 500 * 2 ** this.tries++);
    this.retryAt = Date.now() + wait;
    this.timer = setTimeout(() => this.open(), wait);
    this.become("waiting");
  }

  letGo() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  stop() {
    clearInterval(this.pinger);
    this.letGo();
  }

  receive(text) {
    this.heard = true;
    const message = JSON.parse(text);
    if (message.type === "subscribed") this.subscribed(message);
    else if (message.type === "replay") message.data.forEach((event) => this.take(event));
    else if (message.type === "event") this.take(message.event);
    else if (message.type === "position") this.cursor = Math.max(this.cursor, message.id); // nothing of this job up to there
    else if (message.type === "error") this.problem(message);
    const caughtUp = message.type === "event" || message.caughtUp || this.cursor >= this.target;
    if (this.state === "catching" && caughtUp) this.become("live");
    this.changed();
  }

  subscribed({ epoch, lastEventId }) {
    this.epoch = epoch ?? this.epoch;
    this.target = lastEventId ?? 0;
    for (const code of Object.keys(ASK_AGAIN_AFTER)) this.job.notes.delete(code);
    this.become("catching");
  }

  take(event) {
    // Each event comes once and in order; should that promise ever break, it is seen here and not in the picture.
    if (!(event.id > this.cursor)) return this.job.notes.set("ORDER", `Event #${event.id} came again or too late.`);
    this.cursor = event.id;
    this.job.take(event);
  }

  problem(message) {
    const { code = "ERROR", error = code } = message;
    if (code === "CURSOR_INVALID") {
      this.cursor = 0;
      this.job.notes.clear();
      this.job.clear();
    }
    this.job.notes.set(code, NOTES[code]?.(message) ?? String(error));
    if (code === "JOB_NOT_FOUND") this.become("absent");
    if (["FORBIDDEN", "INVALID_JOB_ID"].includes(code)) this.become("refused");
    if (!ASK_AGAIN_AFTER[code]) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.subscribe(), ASK_AGAIN_AFTER[code]);
  }
}

// -------------------------------------------------------------------- drawing

// An empty canvas measured in CSS pixels, as sharp as the screen, in the colours of page.css.
function canvas(id) {
  const element = $(id);
  const { clientWidth: width, clientHeight: height } = element;
  const scale = window.devicePixelRatio;
  const size = [Math.round(width * scale), Math.round(height * scale)];
  if (element.width !== size[0] || element.height !== size[1]) [element.width, element.height] = size;
  const pen = element.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineJoin = "round";
  const style = getComputedStyle(document.body);
  pen.font = `12px ${style.fontFamily}`;
  return { pen, width, height, colour: (name) => style.getPropertyValue(`--${name}`) };
}

function stroke(pen, colour, lineWidth) {
  Object.assign(pen, { strokeStyle: colour, lineWidth });
  pen.stroke();
}

// About `count` round numbers between low and high, with their labels.
function ticks(low, high, count) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power * count >= (high - low) * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const label = (v) => v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step).map((v) => [v, label(v)]);
}

// Where iterations and scores lie on the canvas.
function frameOf({ xs, ys, records }, width, height) {
  const [low, high] = [ys.reduce((a, b) => Math.min(a, b)), records.at(-1)[1]];
  const room = (high - low) * 0.06 || 0.05;
  const end = xs.at(-1);
  const start = xs[0] > 0 && xs[0] < end / 10 ? 0 : xs[0];
  const box = { left: 52, right: width - 30, top: 8, bottom: height - 32 };
  const x = (v) => box.left + ((v - start) / (end - start || 1)) * (box.right - box.left);
  const y = (v) => box.bottom - ((v - low + room) / (high - low + 2 * room)) * (box.bottom - box.top);
  return { ...box, start, end: Math.max(end, start + 1), low: low - room, high: high + room, x, y };
}

function drawAxes(pen, frame, colour) {
  pen.fillStyle = colour("quiet");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  pen.beginPath();
  for (const [v, label] of ticks(frame.low, frame.high, (frame.bottom - frame.top) / 40)) {
    const y = Math.round(frame.y(v)) + 0.5; // on the pixel: a sharp line
    pen.moveTo(frame.left, y);
    pen.lineTo(frame.right, y);
    pen.fillText(label, frame.left - 10, y);
  }
  stroke(pen, colour("grid"), 1);
  pen.textAlign = "center";
  const columns = ticks(frame.start, frame.end, Math.max(2, (frame.right - frame.left) / 90));
  for (const [v, label] of columns) pen.fillText(label, frame.x(v), frame.bottom + 18);
}

// Of the thousands of points on a pixel column its first, lowest, highest and last are drawn: it looks the same.
function drawScores(pen, { xs, ys }, frame) {
  pen.beginPath();
  for (let i = 0; i < xs.length; ) {
    const [from, column] = [i, Math.floor(frame.x(xs[i]))];
    let [low, high] = [ys[i], ys[i]];
    for (; i < xs.length && Math.floor(frame.x(xs[i])) === column; i++) [low, high] = [Math.min(low, ys[i]), Math.max(high, ys[i])];
    const middle = i - from > 2 ? [low, high].map((y) => [column + 0.5, y]) : [];
    for (const [x, y] of [[frame.x(xs[from]), ys[from]], ...middle, [frame.x(xs[i - 1]), ys[i - 1]]]) pen.lineTo(x, frame.y(y));
  }
}

function drawChart(series) {
  const { pen, width, height, colour } = canvas("chart");
  const frame = frameOf(series, width, height);
  drawAxes(pen, frame, colour);
  drawScores(pen, series, frame);
  stroke(pen, colour("faint"), 1.25);
  let level = frame.y(series.records[0][1]);
  pen.beginPath();
  for (const [x, score] of [...series.records, [series.xs.at(-1), series.records.at(-1)[1]]]) {
    pen.lineTo(frame.x(x), level); // along at the old best,
    pen.lineTo(frame.x(x), (level = frame.y(score))); // then up to the new one
  }
  stroke(pen, colour("accent"), 2);
}

function drawTour(places, order) {
  const { pen, width, height, colour } = canvas("tour");
  const [xs, ys] = [0, 1].map((axis) => places.map((place) => place[axis]));
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((width - 36) / (right - left || 1), (height - 32) / (top - bottom || 1)); // true to shape
  const spots = places.map(([x, y]) => [width / 2 + (x - (left + right) / 2) * scale, height / 2 - 4 - (y - (bottom + top) / 2) * scale]);
  pen.beginPath();
  for (const index of order) if (spots[index]) pen.lineTo(...spots[index]);
  pen.closePath();
  stroke(pen, colour("accent"), 2);
  pen.fillStyle = colour("text");
  pen.beginPath();
  for (const [x, y] of spots) pen.moveTo(x, y), pen.arc(x, y, 3, 0, 2 * Math.PI);
  pen.fill();
}

// ------------------------------------------------------------------- the page

let job = null;
let feed = null;
let listed = []; // the server's jobs
let pending = 0;
const keyOf = ({ kind, jobId }) => `${kind}/${jobId}`; // a job is (kind, id)
const isShown = (entry) => job !== null && keyOf(entry) === keyOf(job);

// However much arrives, the page is written at most about 12 times a second, and only when it is seen.
function changed() {
  pending ||= setTimeout(() => requestAnimationFrame(() => {
    pending = 0;
    if (job) render();
  }), 70);
}

function render() {
  const status = job.status ?? listed.find(isShown)?.status ?? "unknown";
  document.title = `${job.jobId} · ${status} · jobwire`;
  put($("title"), job.jobId);
  put($("kind"), job.kind);
  put($("status"), status, status);
  renderLink();
  renderTiles();
  renderPictures();
  renderLog();
}

function renderLink() {
  const words = { absent: "waiting for the job", catching: "catching up", waiting: "reconnecting", closed: "ended" };
  const state = feed.state === "live" && ENDINGS.includes(job.status) ? "closed" : feed.state;
  $("link").dataset.tone = state;
  put($("link-text"), words[state] ?? state);
  put($("link-wait"), state === "waiting" ? ` in ${Math.max(0, Math.ceil((feed.retryAt - Date.now()) / 1000))} s` : "");
  const notes = [...job.notes.values()];
  if (notes.join() === [...$("notes").children].map((row) => row.textContent).join()) return;
  $("notes").replaceChildren(...notes.map((text) => make("li", "", text)));
}

function tile(name, known, value, under) {
  $(name).hidden = !known;
  put($(name).children[1], known ? value() : "");
  put($(name).children[2], (known && under) || "");
}

function renderTiles() {
  const { iteration, stage, progress, score, bestScore, bestLength, optimum, last } = job;
  const above = optimum && `optimum +${((bestLength / optimum - 1) * 100).toFixed(1)} %`;
  tile("iteration", iteration !== null, () => whole(iteration), stage);
  tile("progress", progress !== null, () => `${whole(progress * 100)} %`, stage);
  tile("score", isNumber(bestScore), () => bestScore.toFixed(4), score !== null && `now ${score.toFixed(4)}`);
  tile("length", isNumber(bestLength), () => whole(bestLength), bestLength === optimum ? "optimum" : above);
  tile("last", true, () => (last ? `#${last.id}` : "none yet"), last && age(last.timestamp) && `${age(last.timestamp)} ago`);
}

function renderPictures() {
  const { series, places, tour, bestScore } = job;
  $("chart-panel").hidden = !series.xs.length;
  $("tour-panel").hidden = !(tour && places);
  if (series.xs.length) {
    drawChart(series);
    $("chart").ariaLabel = `Score up to iteration ${series.xs.at(-1)}, the best ${bestScore.toFixed(4)}`;
  }
  if (tour && places) {
    drawTour(places, tour.order);
    put($("tour-text"), tour.text);
    $("tour").ariaLabel = `Closed tour through ${places.length} places, ${tour.text}`;
  }
}

// Newest on top: the newest needs no scrolling, and what is being read does not run away.
function renderLog() {
  const body = $("log");
  if (job.cleared) body.replaceChildren();
  body.prepend(...job.fresh.slice(-LOG_ROWS).reverse().map(makeLogRow));
  Object.assign(job, { fresh: [], cleared: false });
  while (body.rows.length > LOG_ROWS) body.lastElementChild.remove();
  put($("log-text"), whole(job.count) + (body.rows.length < job.count ? ` received, the newest ${LOG_ROWS} shown` : " received"));
}

function makeLogRow(event) {
  const { id, eventType = "", timestamp = "" } = event;
  const row = make("tr");
  const time = Number.isNaN(Date.parse(timestamp)) ? "" : clock.format(new Date(timestamp));
  row.append(...[`#${id}`, time, eventType, describe(event)].map((text) => make("td", "", text)));
  row.children[1].title = timestamp;
  if (eventType !== "iteration_completed" && STATUS_AFTER[eventType]) row.dataset.tone = STATUS_AFTER[eventType];
  return row;
}

// ------------------------------------------------------------ the list of jobs

async function pollJobs() {
  try {
    if (!document.hidden || !listed.length) await readJobs(); // on a hidden page the list can wait
  } catch (problem) {
    put($("jobs-note"), `The list cannot be read (${problem.message}). Trying again.`);
  }
  setTimeout(pollJobs, 2000);
}

async function readJobs() {
  const answer = await fetch("/api/v1/jobs", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  // By first event, not by last: jobs that run would change places all the time.
  listed = (await answer.json()).jobs;
  put($("jobs-note"), listed.length ? "" : "No jobs yet.");
  put($("job-count"), listed.length ? String(listed.length) : "");
  $("empty").hidden = Boolean(job || listed.length);
  if (!job && listed.length) show(listed[0], "replaceState");
  renderList();
  const status = listed.find(isShown)?.status;
  if (feed?.state === "closed" && status && !ENDINGS.includes(status)) feed.open(); // it runs again
}

// Rows are kept and moved, not made anew: the focus stays where it is.
function renderList() {
  const list = $("jobs");
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  listed.forEach((entry, index) => {
    const row = rows.get(keyOf(entry)) ?? makeListRow(entry);
    rows.delete(keyOf(entry));
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    const [dot, , ago, what] = row.firstChild.children;
    put(dot, "", entry.status);
    put(ago, age(entry.lastEventAt));
    put(what, `${entry.status} · ${entry.kind}`);
    row.firstChild.ariaCurrent = isShown(entry) ? "page" : null;
  });
  for (const row of rows.values()) row.remove();
}

function makeListRow(entry) {
  const row = make("li");
  const link = make("a");
  row.dataset.key = keyOf(entry);
  link.href = linkTo(entry);
  link.onclick = (click) => {
    if (click.ctrlKey || click.metaKey || click.shiftKey) return; // a tab of its own
    click.preventDefault();
    if (!isShown(entry)) show(entry, "pushState");
  };
  link.append(make("span", "dot"), make("span", "id", entry.jobId), make("span", "quiet"), make("span", "quiet what"));
  row.append(link);
  return row;
}

// The URL says which job is shown, so that a reload, a link and the back button show it again.
const linkTo = ({ kind, jobId }) => `?${new URLSearchParams({ kind, job: jobId })}`;

function show(entry, how) {
  history[how](null, "", linkTo(entry));
  showFromUrl();
}

function showFromUrl() {
  const query = new URLSearchParams(location.search);
  if (!query.get("job")) return;
  feed?.stop();
  job = new Job(query.get("kind") || "optimization", query.get("job"));
  feed = new Feed(job, changed);
  $("view").hidden = false;
  $("empty").hidden = true;
  renderList();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
new ResizeObserver(changed).observe($("job"));
addEventListener("popstate", showFromUrl);
setInterval(changed, 500); // ages and the countdown
showFromUrl();
pollJobs();
