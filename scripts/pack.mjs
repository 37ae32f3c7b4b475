// Packs what is published: `root`, the package gwanmun, and for each named platform the package with its core. Without names:
// root, and the core of this platform.
//
//     npm run pack [-- [--out DIR] [--local] [root] [linux-x64-gnu …]]
//
// A core is built by cargo-zigbuild against glibc 2.17 (2012), or with musl. Where that is not installed, or with --local,
// this clone's own build is packed: it runs where glibc is not older than here.

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build, BuildError, dependencies, javascript, root } from './build.mjs';
import { source } from './source.mjs';

/** The minor number of glibc 2. */
const GLIBC = 17;
const TRIPLES = {
  'linux-x64-gnu': 'x86_64-unknown-linux-gnu',
  'linux-x64-musl': 'x86_64-unknown-linux-musl',
  'linux-arm64-gnu': 'aarch64-unknown-linux-gnu',
  'linux-arm64-musl': 'aarch64-unknown-linux-musl',
};

try {
  await main();
} catch (error) {
  process.stderr.write(
    `✗ ${error instanceof BuildError || error.code?.startsWith('ERR_PARSE') ? error.message : error.stack}\n`,
  );
  process.exitCode = 1;
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { out: { type: 'string', default: 'target/packages' }, local: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  await dependencies();
  await javascript();
  const { PLATFORMS, currentPlatform } = await source('native.ts');
  const names = positionals.length > 0 ? positionals : ['root', currentPlatform()];
  const unknown = names.find((name) => name !== 'root' && !PLATFORMS.includes(name));
  if (unknown !== undefined)
    throw new BuildError(`there is no package for ${unknown}, but for ${PLATFORMS.join(', ')}`);
  const out = resolve(root, values.out);
  mkdirSync(out, { recursive: true });
  const manifest = readManifest();
  for (const name of names) {
    if (name === 'root') packRoot(manifest, PLATFORMS, out);
    else packCore(manifest, name, await buildCore(name, currentPlatform(), values.local, out), out);
  }
}

/** What both packages have in common. */
function readManifest() {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  // Provenance is a claim about a repository: only the place that builds the release knows which.
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env;
  if (server && repository) manifest.repository = { type: 'git', url: `git+${server}/${repository}.git` };
  return manifest;
}

function packRoot(manifest, platforms, out) {
  const { devDependencies: _1, scripts: _2, overrides: _3, napi: _4, ...published } = manifest;
  const folder = stage(out, 'gwanmun');
  for (const name of manifest.files) cpSync(join(root, name), join(folder, name), { recursive: true });
  for (const name of ['README.md', 'LICENSE']) copyFileSync(join(root, name), join(folder, name));
  const cores = platforms.map((platform) => [`${manifest.napi.packageName}-${platform}`, manifest.version]);
  pack(folder, { ...published, optionalDependencies: Object.fromEntries(cores) }, out);
}

function packCore(manifest, platform, binary, out) {
  const [os, cpu, libc] = platform.split('-');
  const file = `${manifest.napi.binaryName}.${platform}.node`;
  const folder = stage(out, platform);
  renameSync(binary, join(folder, file));
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  writeFileSync(
    join(folder, 'README.md'),
    `The native core of gwanmun for ${platform}. Install gwanmun, which brings it.\n`,
  );
  const { version, license, engines, repository } = manifest;
  pack(
    folder,
    {
      name: `${manifest.napi.packageName}-${platform}`,
      version,
      description: `The native core of gwanmun for ${platform}`,
      license,
      repository,
      type: 'commonjs',
      main: file,
      files: [file],
      engines,
      os: [os],
      cpu: [cpu],
      libc: [libc === 'gnu' ? 'glibc' : libc],
    },
    out,
  );
}

/** Makes the platform's core without debug information; returns its path. */
async function buildCore(platform, own, isLocal, out) {
  const stripped = join(out, `${platform}.node`);
  const hasZig = spawnSync('cargo-zigbuild', ['--version']).status === 0;
  if (hasZig && !isLocal) {
    const isGnu = platform.endsWith('-gnu');
    const triple = TRIPLES[platform];
    const target = join(root, 'target/pack');
    const args = [
      'zigbuild',
      '--profile',
      'published',
      '--locked',
      '-p',
      'gwanmun-node',
      '--target-dir',
      target,
      '--target',
    ];
    run('cargo', [...args, isGnu ? `${triple}.2.${GLIBC}` : triple], {
      CARGO_PROFILE_PUBLISHED_STRIP: 'symbols',
      // A library that Node loads, which brings musl with it.
      ...(isGnu ? {} : { RUSTFLAGS: '-C target-feature=-crt-static' }),
    });
    copyFileSync(join(target, triple, 'published/libgwanmun_node.so'), stripped);
    if (isGnu && glibcOf(stripped) > GLIBC) {
      throw new BuildError(`the core for ${platform} needs glibc 2.${glibcOf(stripped)} instead of 2.${GLIBC}`);
    }
  } else if (platform === own) {
    await build({ core: isLocal ? 'usual' : 'published' });
    const local = join(root, 'native', `gwanmun.${platform}.node`);
    if (!isLocal)
      note(`cargo-zigbuild is not installed (pip install cargo-zigbuild ziglang): packing this clone's build`);
    const isStripped = spawnSync('strip', ['--strip-unneeded', '-o', stripped, local]).status === 0;
    if (!isStripped) {
      note('strip is not installed: debug information stays in');
      copyFileSync(local, stripped);
    }
  } else {
    throw new BuildError(
      `for ${platform} cargo-zigbuild is needed: pip install cargo-zigbuild ziglang; rustup target add ${TRIPLES[platform]}`,
    );
  }
  const size = `${(statSync(stripped).size / 2 ** 20).toFixed(1)} MiB`;
  note(`${platform}: ${size}, ${platform.endsWith('-gnu') ? `needs glibc 2.${glibcOf(stripped)}` : 'musl'}`);
  return stripped;
}

/** The minor number of the newest glibc 2 that the binary has a symbol of. */
function glibcOf(file) {
  const versions = readFileSync(file, 'latin1').match(/GLIBC_2\.\d+/g) ?? [];
  return Math.max(...versions.map((version) => Number(version.slice(8))));
}

/** An empty folder for a package's contents. */
function stage(out, name) {
  const folder = join(out, 'stage', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

function pack(folder, manifest, out) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const [{ filename, size, unpackedSize }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out, folder]),
  );
  note(
    `${manifest.name}@${manifest.version}: ${Math.ceil(size / 1024)} KiB, unpacked ${Math.ceil(unpackedSize / 1024)} KiB`,
  );
  rmSync(folder, { recursive: true });
  process.stdout.write(`${join(out, filename)}\n`);
}

/** Runs a command in the project and returns what it prints. */
function run(command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status === 0) return stdout;
  process.stderr.write(stderr ?? '');
  throw new BuildError(`${command} ${args[0]} ended with ${error?.message ?? status}`);
}

function note(text) {
  process.stderr.write(`  ${text}\n`);
}
