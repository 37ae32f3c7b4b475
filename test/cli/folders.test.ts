// `gwanmun ./public --php`, `gwanmun ./cgi-bin --cgi` and `gwanmun ./hook.cgi`

import { mkdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.js';
import { configForTarget } from '../../src/config/target.js';
import { Folder } from '../files/gwanmun.js';

describe('--php', () => {
  test('is about a folder', async () => {
    using folder = new Folder();
    mkdirSync(folder.at('public'));
    folder.write('index.php', '');
    const { config } = await configForTarget(folder.at('public'), 'php');
    expect(config.mounts).toEqual([{ path: '/', php: { root: { here: folder.at('public') } } }]);
    await expect(configForTarget(folder.at('index.php'), 'php')).rejects.toThrow('--php takes a folder');
    await expect(configForTarget(folder.at('nowhere'), 'php')).rejects.toThrow('there is no file or folder');
  });

  test('needs one', () => {
    expect(() => parseCommand(['--php'])).toThrow('--php needs the folder of the site');
    expect(parseCommand(['./public', '--php'])).toMatchObject({ target: './public', kind: 'php' });
    expect(() => parseCommand(['check', '--php'])).toThrow('gwanmun check takes no --php');
  });
});

describe('--cgi', () => {
  test('is about a folder, and one program needs no flag', async () => {
    using folder = new Folder();
    mkdirSync(folder.at('cgi-bin'));
    folder.write('hook.cgi', '');
    const ofFolder = await configForTarget(folder.at('cgi-bin'), 'cgi');
    expect(ofFolder.config.mounts).toEqual([{ path: '/', cgi: { folder: folder.at('cgi-bin') } }]);
    const ofProgram = await configForTarget(folder.at('hook.cgi'));
    expect(ofProgram.config.mounts).toEqual([{ path: '/', cgi: { program: folder.at('hook.cgi') } }]);
    await expect(configForTarget(folder.at('hook.cgi'), 'cgi')).rejects.toThrow('--cgi takes a folder');
    expect(() => parseCommand(['--cgi'])).toThrow('--cgi needs the folder of the programs');
    expect(() => parseCommand(['a', '--cgi', '--php'])).toThrow('use either --php or --cgi');
  });
});
