// `gwanmun ./public --php`

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
    const { config } = await configForTarget(folder.at('public'), true);
    expect(config.mounts).toEqual([{ path: '/', php: { root: { here: folder.at('public') } } }]);
    await expect(configForTarget(folder.at('index.php'), true)).rejects.toThrow('--php takes the folder of a site');
    await expect(configForTarget(folder.at('nowhere'), true)).rejects.toThrow('there is no file or folder');
  });

  test('needs one', () => {
    expect(() => parseCommand(['--php'])).toThrow('--php needs the folder of the site');
    expect(parseCommand(['./public', '--php'])).toMatchObject({ target: './public', isPhp: true });
    expect(() => parseCommand(['check', '--php'])).toThrow('gwanmun check takes no --php');
  });
});
