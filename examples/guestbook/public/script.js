// The page works without this script. With it, signing needs no reload, times are relative, and the table tells who served what.

const form = document.querySelector('form');
if (form) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    sign(form);
  });
  showRelativeTimes();
  setInterval(showRelativeTimes, 30_000);
  addEventListener('load', showWhoServed);
}

async function sign(form) {
  const button = form.querySelector('button');
  button.disabled = true;
  announce('');
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
      await refreshEntries();
      announce('Signed. Thank you!');
    } else {
      announce(error);
    }
  } catch {
    announce('The server could not be reached. Please try again.');
  } finally {
    button.disabled = false;
  }
}

async function refreshEntries() {
  const response = await fetch('/entries', { headers: { accept: 'text/html' } });
  // The server has escaped what guests wrote; it renders entries so that this script need not.
  document.getElementById('entries').outerHTML = await response.text();
  showRelativeTimes();
}

function showProblems(problems) {
  for (const field of ['message', 'name']) {
    const problem = problems[field] ?? '';
    document.getElementById(`${field}-problem`).textContent = problem;
    const input = document.getElementById(field);
    input.setAttribute('aria-invalid', String(problem !== ''));
    if (problem !== '') {
      input.focus();
    }
  }
}

function announce(text) {
  document.getElementById('status').textContent = text;
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

// The application adds a Server-Timing header to its answers; the core's files have none.
function showWhoServed() {
  const page = performance.getEntriesByType('navigation');
  const files = performance.getEntriesByType('resource').filter(({ initiatorType }) => initiatorType !== 'fetch');
  const rows = [...page, ...files].map((timing) => {
    const application = timing.serverTiming?.find(({ name }) => name === 'app');
    const servedBy = application ? `${application.description}, ${application.duration} ms` : 'Rust core';
    const wait = timing.responseStart - timing.requestStart;
    return row(new URL(timing.name).pathname, servedBy, timing.transferSize === 0 ? 'cached' : `${wait.toFixed(1)} ms`);
  });
  const table = document.getElementById('served');
  table.tBodies[0].replaceChildren(...rows);
  // Without Server-Timing (old browsers, a plain-HTTP address other than this machine) the table would be guessing.
  table.hidden = !page.some(({ serverTiming }) => serverTiming?.length > 0);
}

function row(...texts) {
  const row = document.createElement('tr');
  row.append(
    ...texts.map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }),
  );
  return row;
}
