import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { loadNative, type NativeBinding } from '../../src/native.js';

test('the numbers of the protocol are the same in Rust and in TypeScript', async () => {
  const native = loadNative() as NativeBinding & { protocolConstants(): string };
  expect(JSON.parse(native.protocolConstants())).toMatchObject({
    version: f.PROTOCOL_VERSION,
    encodingOffsets: f.ENCODING_OFFSETS,
    capabilities: { closed: f.CAPABILITY_CLOSED, shared: f.CAPABILITY_SHARED },
    markPage: f.MARK_PAGE,
    markStride: f.MARK_STRIDE,
    shared: { buffers: f.SHARED_BUFFERS, buffer: f.SHARED_BUFFER, bytes: f.SHARED_BYTES },
    header: f.FRAME_HEADER,
    maxPayload: f.MAX_PAYLOAD,
    flags: { end: f.FLAG_END, fd: f.FLAG_FD, shared: f.FLAG_SHARED, narrow: f.FLAG_NARROW },
    narrowWindow: f.NARROW_WINDOW,
    requestFlags: {
      http10: f.HEAD_FLAG_HTTP10,
      tls: f.HEAD_FLAG_TLS,
      body: f.HEAD_FLAG_LENGTH,
      variables: f.HEAD_FLAG_VARIABLES,
    },
    headFixed: f.HEAD_PAIRS * 4,
    formHttp: f.FORM_HTTP,
    formReason: f.FORM_REASON,
    wishes: { stream: f.WISH_STREAM, anyTarget: f.WISH_ANY_TARGET },
    kinds: {
      hello: f.KIND_HELLO,
      ready: f.KIND_READY,
      names: f.KIND_NAMES,
      block: f.KIND_BLOCK,
      head: f.KIND_HEAD,
      info: f.KIND_INFO,
      data: f.KIND_DATA,
      end: f.KIND_END,
      reset: f.KIND_RESET,
      credit: f.KIND_CREDIT,
      log: f.KIND_LOG,
    },
    pulse: { beats: f.PULSE_BEATS, lag: f.PULSE_LAG },
    resetReasons: {
      application: f.RESET_APPLICATION_ERROR,
      clientGone: f.RESET_CLIENT_GONE,
      cancelled: f.RESET_CANCELLED,
      protocol: f.RESET_PROTOCOL_ERROR,
    },
  });
});
