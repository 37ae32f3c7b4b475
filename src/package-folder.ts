/** The folder of this package, with a final slash: what it brings is found from here, whichever file of dist the bundler puts this line in. */
export const PACKAGE: URL = new URL(import.meta.url.replace(/^(.*\/)(?:src|dist)\/.*$/, '$1'));
