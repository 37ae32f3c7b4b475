// Go's client: the group that OpenSSL 3.0 does not know, tickets, and whatever else differs.

import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { issue, TlsCore } from './core.js';

const PROGRAM = `package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	pem, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var said []any
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		config := &tls.Config{RootCAs: roots, ServerName: "a.test", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		for times := 0; times < 2; times++ {
			transport := &http.Transport{TLSClientConfig: config.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
			client := &http.Client{Transport: transport}
			response, err := client.Get("https://127.0.0.1:" + os.Args[1] + "/small.txt")
			if err != nil {
				panic(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				panic(err)
			}
			response.Body.Close()
			transport.CloseIdleConnections()
			state := response.TLS
			said = append(said, map[string]any{
				"body": string(body), "version": tls.VersionName(state.Version), "group": state.CurveID.String(),
				"resumed": state.DidResume, "protocol": state.NegotiatedProtocol,
			})
		}
	}
	text, _ := json.Marshal(said)
	fmt.Println(string(text))
}
`;

/** `tls.ConnectionState.CurveID` is of 1.25. */
const version = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8', cwd: '/' });
const [, minor] = /^go1\.(\d+)/.exec(version.stdout ?? '') ?? [];
const isMissing = Number(minor ?? 0) < 25;
if (isMissing) process.stderr.write('SKIPPED: the Go client: there is no Go 1.25 or newer (https://go.dev/dl)\n');

describe.skipIf(isMissing)('Go', () => {
  test(
    'T132 T104 agrees on the hybrid group, and T55 resumes with a ticket in both versions',
    { timeout: 120_000 },
    async () => {
      const certificate = issue(['a.test']);
      await using server = new TlsCore([certificate]);
      const [program, ca] = [join(server.folder, 'client.go'), join(server.folder, 'ca.pem')];
      writeFileSync(program, PROGRAM);
      writeFileSync(ca, certificate.cert);
      const env = { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', GODEBUG: '' };
      const options = { env, cwd: server.folder, timeout: 100_000 };
      const { stdout } = await promisify(execFile)('go', ['run', program, String(server.port), ca], options);
      const common = { body: 'small', protocol: '' };
      expect(JSON.parse(stdout)).toEqual([
        { ...common, version: 'TLS 1.3', group: 'X25519MLKEM768', resumed: false },
        { ...common, version: 'TLS 1.3', group: 'X25519MLKEM768', resumed: true },
        { ...common, version: 'TLS 1.2', group: 'X25519', resumed: false },
        { ...common, version: 'TLS 1.2', group: expect.any(String) as string, resumed: true },
      ]);
    },
  );
});
