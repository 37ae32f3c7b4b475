// The page works without this script. With it, signing needs no reload, what others write appears by itself, times are
// relative, and the table shows how fast each request was answered.

/** How often each address is asked when it is measured. */
const rounds = 20;

/** Says that somebody has signed, while somebody looks at the page. */
let events;
let refreshes = 0;

const form = document.querySelector('form');
if (form) {
  // The server's rules and words are the only ones.
  form.noValidate = true;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    sign();
  });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      form.requestSubmit();
    }
  });
  form.elements.message.addEventListener('input', showCharactersLeft);
  showRelativeTimes();
  setInterval(showRelativeTimes, 30_000);
  addEventListener('load', showFirstBytes);
  document.getElementById('measure').addEventListener('click', measure);
  document.addEventListener('visibilitychange', listen);
  listen();
}

async function sign() {
  const button = form.querySelector('button');
  if (button.disabled) {
    return;
  }
  button.disabled = true;
  announce('', '');
  try {
    const response = await fetch(form.action, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: new URLSearchParams(new FormData(form)),
    });
    const { error, problems = {} } = await response.json();
    showProblems(problems);
    if (response.ok) {
      form.reset();
      showCharactersLeft();
      await refreshEntries();
      announce('Signed. Thank you!', 'signed');
    } else {
      announce(error, 'refused');
    }
  } catch {
    announce('The server could not be reached. Please try again.', 'refused');
  } finally {
    button.disabled = false;
  }
}

// A browser opens few connections to one server: only a page that is looked at may keep one.
function listen() {
  events?.close();
  events = undefined;
  if (document.visibilityState === 'visible') {
    const source = new EventSource('/events');
    source.addEventListener('message', ({ data }) => {
      if (Number(data) !== newestEntry()) {
        void refreshEntries().catch(() => undefined);
      }
    });
    // A browser tries again by itself when it is cut off, but not when it is refused.
    source.addEventListener('error', () => {
      if (source === events && source.readyState === EventSource.CLOSED) {
        setTimeout(listen, 3_000);
      }
    });
    events = source;
  }
}

function newestEntry() {
  return Number(document.querySelector('#entries li')?.id.replace('entry-', '') ?? 0);
}

async function refreshEntries() {
  refreshes += 1;
  const refresh = refreshes;
  const response = await fetch('/entries', { headers: { accept: 'text/html' } });
  const text = await response.text();
  // A later one may have been answered first.
  if (!response.ok || refresh !== refreshes) {
    return;
  }
  const newest = newestEntry();
  // The server has escaped what guests wrote; it renders entries so that this script need not.
  document.getElementById('entries').outerHTML = text;
  for (const item of document.querySelectorAll('#entries li')) {
    item.classList.toggle('new', Number(item.id.replace('entry-', '')) > newest);
  }
  showRelativeTimes();
}

function showProblems(problems) {
  // In this order the first of them has the focus in the end.
  for (const field of ['message', 'name']) {
    const problem = problems[field] ?? '';
    document.getElementById(`${field}-problem`).textContent = problem;
    form.elements[field].setAttribute('aria-invalid', String(problem !== ''));
    if (problem !== '') {
      form.elements[field].focus();
    }
  }
}

function announce(text, state) {
  const status = document.getElementById('status');
  status.textContent = text;
  status.dataset.state = state;
}

function showCharactersLeft() {
  const left = form.elements.message.maxLength - form.elements.message.value.length;
  document.getElementById('left').textContent = `${left} characters left`;
}

function showRelativeTimes() {
  for (const time of document.querySelectorAll('time')) {
    time.title ||= new Date(time.dateTime).toLocaleString('en');
    time.textContent = relative(Date.parse(time.dateTime) - Date.now());
  }
}

function relative(milliseconds) {
  const format = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  const seconds = Math.min(0, Math.round(milliseconds / 1000));
  const units = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ];
  const found = units.find(([, size]) => -seconds >= size);
  return found ? format.format(Math.trunc(seconds / found[1]), found[0]) : 'just now';
}

/** What the browser noted while it loaded the page. */
function showFirstBytes() {
  const timings = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  for (const row of document.getElementById('served').rows) {
    const path = row.cells[0].textContent;
    const timing = timings.find(({ name }) => new URL(name).pathname === path);
    if (timing !== undefined) {
      row.cells[2].textContent = timing.transferSize === 0 ? 'cached' : inMilliseconds(firstByte(timing));
      showWho(row, timing);
    }
  }
  document.querySelector('.measure').hidden = false;
}

// The application adds a Server-Timing header to its answers; the core's files have none. Old browsers do not tell, nor does any
// for a plain-HTTP address other than this machine's: then the page's own words stay.
function showWho(row, { serverTiming = [] }) {
  const application = serverTiming.find(({ name }) => name === 'app');
  if (application !== undefined) {
    row.cells[1].lastChild.textContent = ` ${application.description}, in ${inMilliseconds(application.duration)}`;
  }
}

/** Asks for each again and again, one at a time, and shows the medians. */
async function measure() {
  const button = document.getElementById('measure');
  const rows = [...document.getElementById('served').rows];
  button.disabled = true;
  document.getElementById('measured').textContent = 'Measuring…';
  try {
    const times = [];
    for (const row of rows) {
      times.push(await medianFirstByte(row));
    }
    const longest = Math.max(...times);
    for (const [index, row] of rows.entries()) {
      row.cells[2].textContent = inMilliseconds(times[index]);
      row.cells[2].style.setProperty('--share', times[index] / longest);
    }
    document.getElementById('measured').textContent =
      `The medians of ${rounds} requests, one at a time; most of it is your browser’s own time.`;
  } catch {
    document.getElementById('measured').textContent = 'The server could not be reached.';
  } finally {
    button.disabled = false;
  }
}

async function medianFirstByte(row) {
  const path = row.cells[0].textContent;
  const times = [];
  performance.clearResourceTimings();
  for (let round = 0; round < rounds; round++) {
    const response = await fetch(path, { cache: 'no-store' });
    await response.arrayBuffer();
    const timing = await resourceTiming(path, round);
    times.push(firstByte(timing));
    showWho(row, timing);
  }
  return times.toSorted((a, b) => a - b)[rounds / 2];
}

/** The timing of the request number `round` for a path; the browser may note it a little later. */
async function resourceTiming(path, round) {
  for (;;) {
    const timings = performance.getEntriesByType('resource').filter(({ name }) => new URL(name).pathname === path);
    if (timings[round] !== undefined) {
      return timings[round];
    }
    await new Promise(requestAnimationFrame);
  }
}

function firstByte({ requestStart, responseStart }) {
  return responseStart - requestStart;
}

function inMilliseconds(time) {
  return `${time.toFixed(time < 1 ? 2 : 1)} ms`;
}
