// What is measured, and how its figures are written.

/**
 * @typedef {object} Metric
 * @property {string} title
 * @property {string} unit
 * @property {number} digits after the point
 * @property {'less' | 'more'} better
 * @property {boolean} [detail] the table shows its median alone
 */

/** One measured window of one peer: values by the names below, in the units below. @typedef {Record<string, number | undefined>} Round */

/** @type {Record<string, Metric>} */
export const METRICS = {
  cpu: { title: 'CPU a request', unit: 'µs', digits: 2, better: 'less' },
  user: { title: 'of it user', unit: 'µs', digits: 2, better: 'less', detail: true },
  system: { title: 'of it system', unit: 'µs', digits: 2, better: 'less', detail: true },
  worker: { title: 'of it Python', unit: 'µs', digits: 2, better: 'less' },
  rate: { title: 'requests a second', unit: '/s', digits: 0, better: 'more' },
  busy: { title: 'core busy', unit: '%', digits: 0, better: 'less', detail: true },
  p50: { title: 'p50 latency', unit: 'µs', digits: 0, better: 'less' },
  p99: { title: 'p99 latency', unit: 'µs', digits: 0, better: 'less' },
  delay50: { title: 'p50 from the due time', unit: 'ms', digits: 1, better: 'less' },
  delay99: { title: 'p99 from the due time', unit: 'ms', digits: 1, better: 'less' },
  delayMax: { title: 'longest', unit: 'ms', digits: 0, better: 'less' },
  unanswered: { title: 'not answered in time', unit: '%', digits: 0, better: 'less', detail: true },
  spinning: { title: 'JavaScript busy', unit: '%', digits: 0, better: 'more', detail: true },
  slowdown: { title: 'p99 against that without them', unit: '×', digits: 2, better: 'less' },
  calm99: { title: 'p99 without them', unit: 'ms', digits: 2, better: 'less', detail: true },
  connection: { title: 'memory a connection', unit: 'B', digits: 0, better: 'less' },
  before: { title: 'memory without them', unit: 'MiB', digits: 1, better: 'less', detail: true },
  held: { title: 'with them', unit: 'MiB', digits: 1, better: 'less', detail: true },
  handshake: { title: 'CPU a handshake', unit: 'µs', digits: 1, better: 'less' },
  handshakes: { title: 'handshakes a second', unit: '/s', digits: 0, better: 'more' },
  answer: { title: 'start to first answer', unit: 'ms', digits: 0, better: 'less' },
  startCpu: { title: 'CPU until then', unit: 'ms', digits: 0, better: 'less' },
};

/** @param {string} name */
export function metric(name) {
  const found = METRICS[name];
  if (!found) throw new Error(`metrics.mjs has no “${name}”`);
  return found;
}

/** Thousands apart by a thin space. @param {number} value @param {number} digits */
export function figure(value, digits) {
  const [whole = '', fraction] = value.toFixed(digits).split('.');
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, '\u2009');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A figure with its unit. @param {number} value @param {string} name */
export function written(value, name) {
  const { digits, unit } = metric(name);
  return `${figure(value, digits)}${unit.startsWith('/') ? '' : '\u202f'}${unit}`;
}
