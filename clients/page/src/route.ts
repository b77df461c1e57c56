// What is shown, as it stands in the address: a reload, a link and the back button show it again.

export interface JobName {
  readonly kind: string;
  readonly jobId: string;
}

export interface Route {
  job: JobName | undefined;
  /** Event types of the log; empty: all. */
  types: string[];
  /** The event that is opened. */
  event: number | undefined;
  /** Series that were picked by hand. */
  series: string[];
  /** Jobs to compare with. */
  compared: JobName[];
  /** The list: text, kind and state that are looked for. */
  search: string;
  listedKind: string;
  listedState: string;
}

export const MOST_COMPARED = 5;
const NAME = /^[\w-]{1,128}$/;

export const keyOf = ({ kind, jobId }: JobName) => `${kind}/${jobId}`;
export const isSame = (one: JobName | undefined, other: JobName | undefined) =>
  one === other || (!!one && !!other && keyOf(one) === keyOf(other));

export function nameOf(key: string): JobName | undefined {
  const [kind = '', jobId = '', more] = key.split('/');
  return more === undefined && NAME.test(kind) && NAME.test(jobId) ? { kind, jobId } : undefined;
}

const listed = (text: string | null) => (text ? text.split(',').filter(Boolean) : []);

export function readRoute(query = new URLSearchParams(location.search)): Route {
  const jobId = query.get('job');
  const event = Number(query.get('e') || NaN);
  return {
    job: jobId ? nameOf(`${query.get('kind') || 'optimization'}/${jobId}`) : undefined,
    types: listed(query.get('type')),
    event: Number.isSafeInteger(event) ? event : undefined,
    series: listed(query.get('series')),
    compared: listed(query.get('with')).map(nameOf).filter((name) => name !== undefined).slice(0, MOST_COMPARED),
    search: query.get('q') ?? '',
    listedKind: query.get('of') ?? '',
    listedState: query.get('state') ?? '',
  };
}

export function addressOf(route: Route): string {
  const query = new URLSearchParams();
  const put = (name: string, text: string | undefined) => text && query.set(name, text);
  put('kind', route.job?.kind);
  put('job', route.job?.jobId);
  put('type', route.types.join(','));
  put('e', route.event?.toString());
  put('series', route.series.join(','));
  put('with', route.compared.map(keyOf).join(','));
  put('q', route.search);
  put('of', route.listedKind);
  put('state', route.listedState);
  const text = query.toString().replaceAll('%2C', ',').replaceAll('%2F', '/');
  return text ? `?${text}` : location.pathname;
}

/** Another job: what belongs to the one before is left behind. */
export const routeTo = (route: Route, job: JobName | undefined): Route => ({
  ...route,
  job,
  types: [],
  event: undefined,
  series: [],
  compared: [],
});
