/** The core broke a rule of the protocol. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}
