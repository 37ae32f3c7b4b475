// The landing page: the gate, one command, what was measured, what a program looks like, and what is in it.

import { useState } from 'react';
import { getCustomMDXComponent, Link } from '@rspress/core/theme-original';

import gate from '../../examples/guestbook/public/gate.svg?url';
import Application from './application.mdx';
import Configuration from './configuration.mdx';
import type { Figure, Measured } from './measured.ts';

/** Put here when the site is built; null if nothing was measured. */
declare const MEASURED: Measured | null;

const commands = [
  ['npx gwanmun ./public', 'A folder of files'],
  ['npx gwanmun app.ts', 'An application'],
  ['npx gwanmun', 'What gwanmun.config.ts says'],
] as const;

const features = [
  [
    'No second server',
    'Web server, gateway and application server are one process tree. A request crosses a socketpair to its application, not a proxy and a second HTTP.',
  ],
  [
    'Clients belong to the core',
    'Workers own no connection. One that crashes or hangs takes with it the requests it had begun and no others; what it had not begun goes to another.',
  ],
  [
    'A contract, not a framework',
    'WSGI’s: a plain object with CGI’s names in, status, headers and an iterable out. Middleware is a function around a function.',
  ],
  [
    'Files without JavaScript',
    'Ranges, conditional requests, sendfile, a cache, and a folder that the kernel keeps requests in. Served while every worker computes.',
  ],
  [
    'Strict about HTTP',
    'What is not plainly a request is refused, with a status and a line in the log. Every phase has a limit and a deadline.',
  ],
  [
    'Errors that help',
    'Each says what happened, in which file, line and key, and what to try. A misspelt key gets a suggestion.',
  ],
] as const;

export function Home() {
  return (
    <main className="home">
      <div className="home-gate">
        <img src={gate} alt="A Korean palace gate before mountains" width="1920" height="420" />
      </div>
      <section className="home-hero">
        <div>
          <p className="home-name" lang="ko">
            관문 <span lang="en">gwanmun, “gateway”</span>
          </p>
          <h1>Web server, gateway and application server. One package.</h1>
          <p className="home-lead">
            A Rust core owns every connection, parses HTTP and serves files. Applications run in worker processes:
            TypeScript functions, Express and its like, Flask and Django.
          </p>
          <p className="home-actions">
            <Link href="/quick-start" className="home-primary">
              Quick start
            </Link>
            <Link href="/architecture">How it works</Link>
          </p>
        </div>
        <div>
          <Commands />
          <p className="home-note">
            Not on the npm registry yet: the <Link href="/quick-start">quick start</Link> has the way from a clone.
          </p>
        </div>
      </section>
      {MEASURED && <Figures measured={MEASURED} />}
      <section className="home-code">
        <div>
          <h2>An application is a function</h2>
          <p>
            A request is a plain object, a response is a string, bytes, or an iterable of them. It can be awaited,
            streamed, wrapped and tested without a server.
          </p>
          <Link href="/guides/application">Write one</Link>
        </div>
        <Code Content={Application} />
        <div>
          <h2>Mounts put it together</h2>
          <p>
            Files and applications, each below its path. The core answers for files; an application gets what is left,
            from whichever worker is free.
          </p>
          <Link href="/configuration">Every key</Link>
        </div>
        <Code Content={Configuration} />
      </section>
      <section className="home-features">
        {features.map(([title, text]) => (
          <article key={title}>
            <h2>{title}</h2>
            <p>{text}</p>
          </article>
        ))}
      </section>
    </main>
  );
}

function Code({ Content }: { Content: typeof Application }) {
  return (
    <div className="rspress-doc home-block">
      <Content components={getCustomMDXComponent()} />
    </div>
  );
}

function Commands() {
  return (
    <ul className="home-commands">
      {commands.map(([command, what]) => (
        <Command key={command} command={command} what={what} />
      ))}
    </ul>
  );
}

function Command({ command, what }: { command: string; what: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(command);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1500);
  };
  return (
    <li>
      <span>{what}</span>
      <code>{command}</code>
      <button type="button" onClick={copy} aria-label={`Copy: ${command}`}>
        {isCopied ? 'Copied' : 'Copy'}
      </button>
    </li>
  );
}

function Figures({ measured }: { measured: Measured }) {
  return (
    <section className="home-figures">
      <h2>Measured</h2>
      <p>The shorter, the better. CPU is what the whole process tree takes, and the kernel for it.</p>
      <div>
        {measured.figures.map((figure) => (
          <Comparison key={figure.title} {...figure} />
        ))}
      </div>
      <p className="home-measured">
        Medians of <code>{measured.command}</code>, {measured.date}; {measured.machine}. What was done in each scenario,
        and the ones in which others are ahead, is in <code>bench/results/latest.md</code>. Run it on your machine.
      </p>
    </section>
  );
}

function Comparison({ title, what, unit, digits, bars }: Figure) {
  const longest = Math.max(...bars.map(({ value }) => value));
  return (
    <figure>
      <figcaption>
        {title} <span>{what}</span>
      </figcaption>
      <dl>
        {bars.map(({ name, value }) => (
          <div key={name} className={name === 'gwanmun' ? 'ours' : undefined}>
            <dt>{name}</dt>
            <dd>
              <span style={{ width: `${(value / longest) * 100}%` }} />
              {value.toFixed(value < 100 ? digits : 0)} {unit}
            </dd>
          </div>
        ))}
      </dl>
    </figure>
  );
}
