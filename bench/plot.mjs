// Plots as SVG, for a page that may be light or dark: the background is the page's, the colours follow its scheme.

import { figure, metric, written } from './metrics.mjs';
import { summary } from './report.mjs';

/** @typedef {import('./report.mjs').Result} Result */
/** @typedef {import('./report.mjs').Row} Row */
/** @typedef {Record<string, string>} Titles */
/** A drawing and its height; its width is given. @typedef {{ body: string, height: number }} Panel */

const WIDTH = 760;
const FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif";
const LINE = 24;

const STYLE = `
  text { font-family: ${FONT}; font-size: 12px; fill: #1f2328 }
  .title { font-size: 14px; font-weight: 600 }
  .note, .tick { fill: #59636e; font-size: 11px }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .ours { font-weight: 600 }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .bar { fill: #a9b4c0 } .bar.ours { fill: #2f6fde }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round }
  .cut { stroke: #ffffff; stroke-width: 2; fill: none }
  .spread { stroke: #1f2328; stroke-width: 1.2; fill: none }
  .target { stroke: #bf3989; stroke-width: 1.5; stroke-dasharray: 4 3 } .label { fill: #bf3989; font-size: 11px }
  .line { fill: none; stroke-width: 2 }
  ${lineStyles(['#2f6fde', '#b35900', '#1a7f37', '#8250df', '#6e7781', '#bf3989'])}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note, .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .bar { fill: #59636e } .bar.ours { fill: #4c8dff }
    .value, .cut { stroke: #0d1117 }
    .spread { stroke: #e6edf3 }
    .target { stroke: #f778ba } .label { fill: #f778ba }
    ${lineStyles(['#4c8dff', '#f0883e', '#3fb950', '#bc8cff', '#9198a1', '#f778ba'])}
  }`;

/**
 * The plot of one scenario: bars, or lines where it has several points.
 * @param {Result} result
 * @param {Titles} titles
 */
export function plot(result, titles) {
  const { body, height } = panel(result, titles, WIDTH);
  return svg(body, WIDTH, height);
}

/** @param {Result} result @param {Titles} titles @param {number} width */
function panel(result, titles, width) {
  return (result.axis === undefined ? bars : lines)(result, titles, width);
}

/**
 * Several scenarios in one picture: a row for each, with gwanmun's bar and that of one other server.
 * @param {{ result: Result, rival: string, title: string }[]} rows
 * @param {Titles} titles
 */
export function overview(rows, titles) {
  const left = 330;
  const right = WIDTH - 70;
  const [bar, row] = [18, 52];
  let body = '';
  rows.forEach(({ result, rival, title }, index) => {
    const top = index * row;
    const values = ['gwanmun', rival].flatMap((peer) => {
      const found = result.rows.find((other) => other.peer === peer);
      const value = found && summary(found, result.chart);
      return value ? [{ peer, value: value.median }] : [];
    });
    const longest = Math.max(...values.map(({ value }) => value));
    body += text(2, top + 18, title, 'title');
    body += text(2, top + 34, `${metric(result.chart).title}; ${metric(result.chart).better} is better`, 'note');
    values.forEach(({ peer, value }, line) => {
      const y = top + 4 + line * (bar + 2);
      const own = peer === 'gwanmun' ? ' ours' : '';
      const width = Math.max(((right - left) * value) / longest, 1);
      body += text(left - 8, y + 13, titles[peer] ?? peer, `end${own}`);
      body += `<rect class="bar${own}" x="${left}" y="${y}" width="${n(width)}" height="${bar}" rx="2"/>`;
      body += text(left + width + 6, y + 13, written(value, result.chart), `value${own}`);
    });
  });
  return svg(body, WIDTH, Math.max(rows.length * row, 1));
}

/**
 * A bar for each peer's median, a whisker from its lowest to its highest round, a line for the target.
 * @param {Result} result
 * @param {Titles} titles
 * @param {number} width
 * @returns {Panel}
 */
function bars(result, titles, width) {
  const name = result.chart;
  const rows = result.rows.flatMap((row) => {
    const value = summary(row, name);
    return value ? [{ row, value }] : [];
  });
  const left = 165;
  const right = width - 130;
  const scale = ticks(reach(result, rows));
  const x = (/** @type {number} */ value) => left + Math.min(value / scale.end, 1) * (right - left);
  const top = 46;
  const bottom = top + rows.length * LINE;
  let body = heading(result);
  // After the target's line, which would cross them out else.
  let values = '';
  for (const tick of scale.at) {
    body += `<line class="grid" x1="${n(x(tick))}" x2="${n(x(tick))}" y1="${top - 4}" y2="${bottom}"/>`;
    body += text(x(tick), bottom + 14, scale.show(tick), 'tick middle');
  }
  rows.forEach(({ row, value }, index) => {
    const y = top + index * LINE;
    const middle = y + LINE / 2 - 2;
    const own = row.peer === 'gwanmun' ? ' ours' : '';
    body += text(left - 8, middle + 4, titles[row.peer] ?? row.peer, `end${own}`);
    body += `<rect class="bar${own}" x="${left}" y="${y}" width="${n(Math.max(x(value.median) - left, 1))}" height="${LINE - 6}" rx="2"/>`;
    if (value.median > scale.end) body += cut(right, y);
    else body += whisker(x(value.min), x(value.max), middle);
    values += text(Math.max(x(value.max), x(value.median)) + 8, middle + 4, written(value.median, name), `value${own}`);
  });
  const target = targetOf(result);
  if (target !== undefined && target <= scale.end) {
    body += `<line class="target" x1="${n(x(target))}" x2="${n(x(target))}" y1="${top - 4}" y2="${bottom}"/>`;
    body += text(x(target), top - 8, 'target', 'label middle');
  }
  return { body: body + values, height: bottom + 22 };
}

/**
 * How a figure grows: a line for each peer.
 * @param {Result} result
 * @param {Titles} titles
 * @param {number} width
 * @returns {Panel}
 */
function lines(result, titles, width) {
  const name = result.chart;
  const points = [...new Set(result.rows.map(({ at }) => at ?? 0))];
  const series = [...new Set(result.rows.map(({ peer }) => peer))].map((peer) => ({
    peer,
    points: result.rows.flatMap((row) => {
      const value = row.peer === peer ? summary(row, name) : undefined;
      return value && row.at !== undefined ? [{ at: row.at, value }] : [];
    }),
  }));
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  const max = Math.max(...values.map((value) => value.max), 0);
  const min = Math.min(...values.map((value) => value.min));
  const scale = max > 40 * min && min > 0 ? decades(min, max) : ticks(max);
  const [left, right, top, bottom] = [60, width - 180, 46, width < 600 ? 190 : 286];
  const [first = 1, last = 1] = [points[0], points.at(-1)];
  const position = (/** @type {number} */ at) => (last > first ? Math.log(at / first) / Math.log(last / first) : 0.5);
  const x = (/** @type {number} */ at) => left + 12 + position(at) * (right - left - 24);
  const y = (/** @type {number} */ value) => bottom - scale.place(value) * (bottom - top);
  let body = heading(result);
  for (const tick of scale.at) {
    body += `<line class="grid" x1="${left}" x2="${right}" y1="${n(y(tick))}" y2="${n(y(tick))}"/>`;
    body += text(left - 8, y(tick) + 4, scale.show(tick), 'tick end');
  }
  for (const at of points) body += text(x(at), bottom + 16, figure(at, 0), 'tick middle');
  body += text((left + right) / 2, bottom + 32, result.axis ?? '', 'note middle');
  /** @type {{ y: number, text: string, className: string }[]} */
  const labels = [];
  series.forEach(({ peer, points }, index) => {
    const place = points.map(({ at, value }) => `${n(x(at))},${n(y(value.median))}`);
    body += `<polyline class="line s${index}" points="${place.join(' ')}"/>`;
    for (const { at, value } of points) {
      body += `<line class="line s${index}" stroke-opacity="0.5" x1="${n(x(at))}" x2="${n(x(at))}" y1="${n(y(value.min))}" y2="${n(y(value.max))}"/>`;
      body += `<circle class="dot s${index}" cx="${n(x(at))}" cy="${n(y(value.median))}" r="3.5"/>`;
    }
    const end = points.at(-1);
    if (!end) return;
    const label = `${titles[peer] ?? peer} ${written(end.value.median, name)}`;
    labels.push({
      y: y(end.value.median),
      text: label,
      className: `dot s${index}${peer === 'gwanmun' ? ' ours' : ''}`,
    });
  });
  let above = -Infinity;
  for (const label of labels.toSorted((a, b) => a.y - b.y)) {
    above = Math.max(label.y, above + 15);
    body += text(right + 4, above + 4, label.text, label.className);
  }
  return { body, height: Math.max(bottom + 44, above + 10) };
}

/** @param {Result} result */
function heading({ name, chart }) {
  const { title, unit, better } = metric(chart);
  const note = `${title}, ${unit.replace('/s', '1/s')}; ${better} is better`;
  return `<text x="2" y="16"><tspan class="title">${escape(name)}</tspan><tspan class="note" dx="10">${escape(note)}</tspan></text>`;
}

/** What the first target asks of the figure that is shown. @param {Result} result */
function targetOf({ verdicts, chart }) {
  const [verdict] = verdicts;
  if (!verdict || verdict.target.metric !== chart) return undefined;
  const { bound, ratio } = verdict.target;
  return bound ?? (verdict.theirs === undefined || ratio === undefined ? undefined : verdict.theirs * ratio);
}

/** @param {number} from @param {number} to @param {number} y */
function whisker(from, to, y) {
  if (to - from < 1) return '';
  return `<path class="spread" d="M${n(from)} ${y - 4}v8M${n(from)} ${y}H${n(to)}M${n(to)} ${y - 4}v8"/>`;
}

/**
 * How far the axis goes. Far slower peers are cut, with their figure beside them: in full, they would leave nothing to see of the rest.
 * @param {Result} result
 * @param {{ row: Row, value: import('./report.mjs').Summary }[]} rows
 */
function reach(result, rows) {
  const ours = rows.find(({ row }) => row.peer === 'gwanmun')?.value.median ?? 0;
  const others = rows.filter(({ row }) => row.peer !== 'gwanmun').map(({ value }) => value.median);
  const near = 4 * Math.max(ours, others.length > 0 ? Math.min(...others) : 0);
  const target = targetOf(result) ?? 0;
  return Math.min(
    Math.max(...rows.map(({ value }) => value.max), target <= near ? target : 0),
    Math.max(near, target <= 1.5 * near ? target : 0),
  );
}

/** Shows that a bar is longer than drawn. @param {number} x @param {number} y */
function cut(x, y) {
  return `<path class="cut" d="M${n(x - 14)} ${y - 2}l4 ${LINE - 2}m4 0l-4 -${LINE - 2}"/>`;
}

/** Round steps from 0 on, four or five of them. @param {number} max */
function ticks(max) {
  const rough = (max || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.ceil((max || 1) / step);
  // As many as the step has: 2.5 and 0.25 have one more than their power of ten.
  const digits = Math.max(0, -Math.floor(Math.log10(power) + 1e-9) + (step === 2.5 * power ? 1 : 0));
  return {
    end: count * step,
    at: Array.from({ length: count + 1 }, (_, index) => index * step),
    place: (/** @type {number} */ value) => value / (count * step),
    show: (/** @type {number} */ value) => figure(value, value === 0 ? 0 : digits),
  };
}

/** Powers of ten around what there is. @param {number} min @param {number} max */
function decades(min, max) {
  const from = Math.floor(Math.log10(min));
  const to = Math.ceil(Math.log10(max));
  return {
    end: 10 ** to,
    at: Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index)),
    place: (/** @type {number} */ value) => (Math.log10(value) - from) / (to - from),
    show: (/** @type {number} */ value) => figure(value, value < 1 ? 1 : 0),
  };
}

/** @param {string[]} colours */
function lineStyles(colours) {
  return colours.map((c, index) => `.line.s${index} { stroke: ${c} } .dot.s${index} { fill: ${c} }`).join(' ');
}

/** @param {number} x @param {number} y @param {string} content @param {string} className */
function text(x, y, content, className) {
  return `<text x="${n(x)}" y="${n(y)}"${className ? ` class="${className}"` : ''}>${escape(content)}</text>`;
}

/** @param {string} body @param {number} width @param {number} height */
function svg(body, width, height) {
  const size = `width="${width}" height="${n(height)}" viewBox="0 0 ${width} ${n(height)}"`;
  const content = body.replaceAll(/(?=<(?:text|rect|line|path|polyline|g)\b)/g, '\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">\n<style>${STYLE}\n</style>${content}\n</svg>\n`;
}

/** @param {string} content */
function escape(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A coordinate, short. @param {number} value */
function n(value) {
  return String(Math.round(value * 10) / 10);
}
