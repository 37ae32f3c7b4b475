// DER (X.690): as much of it as certificates of our own need.

type Bytes = Uint8Array;

/** A value with its tag and length. */
export function tagged(tag: number, ...parts: readonly Bytes[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

export const sequence = (...parts: readonly Bytes[]): Buffer => tagged(0x30, ...parts);
export const set = (...parts: readonly Bytes[]): Buffer => tagged(0x31, ...parts);
export const octets = (bytes: Bytes): Buffer => tagged(0x04, bytes);
export const utf8 = (text: string): Buffer => tagged(0x0c, Buffer.from(text));
export const yes = (): Buffer => tagged(0x01, Buffer.from([0xff]));
/** Around a value (EXPLICIT). */
export const context = (number: number, ...parts: readonly Bytes[]): Buffer => tagged(0xa0 | number, ...parts);
/** In a value's place (IMPLICIT), of bytes. */
export const contextBytes = (number: number, bytes: Bytes): Buffer => tagged(0x80 | number, bytes);

/** Of whole bytes, or without the last bits of the last one. */
export const bits = (bytes: Bytes, unused = 0): Buffer => tagged(0x03, Buffer.from([unused]), bytes);

/** A positive one, of its bytes. */
export function integer(bytes: Bytes): Buffer {
  const isNegative = (bytes[0] ?? 0) >= 0x80;
  return tagged(0x02, Buffer.from(isNegative ? [0] : []), bytes);
}

/** `1.2.840.10045` */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((part) => {
    const groups = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift(0x80 | (left % 128));
    return groups;
  });
  return tagged(0x06, Buffer.from(bytes));
}

/** To the second; RFC 5280 section 4.1.2.5 says which of the two forms. */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+/, '').replaceAll(/[-:T]/g, '');
  return digits < '2050' ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}

export function pem(label: string, der: Bytes): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
