// The certificate that tests serve over TLS: for localhost, good for a hundred years, made with
// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=test -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1

export const CERT = `-----BEGIN CERTIFICATE-----
MIIBpTCCAUqgAwIBAgIUBRWUl5elJnnzLCmDLrFclQ1v1S8wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjEyMDExMjE5MzlaGA8yMTI2MTEwNzEyMTkz
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDzU
7Qly/8hIbsPmnq2b6g87Y63OgCpHf40utZuQiLbXFYxiR7iK+63pTw2SdP3F3A99
WQjQhxi5Sg0RYMS+aUyjgYEwfzAdBgNVHQ4EFgQULZpluJJn+/3sRLNpqVBZxL/w
BhswHwYDVR0jBBgwFoAULZpluJJn+/3sRLNpqVBZxL/wBhswDwYDVR0TAQH/BAUw
AwEB/zAsBgNVHREEJTAjgglsb2NhbGhvc3SHBH8AAAGHEAAAAAAAAAAAAAAAAAAA
AAEwCgYIKoZIzj0EAwIDSQAwRgIhANb+qHOYpmN7GYIolCe5eoEJG1rzHavS7F+2
/harDkV6AiEAg5uQzPAjqsY1eOS36UnzjOhF8kqgQ3bLHjgQhCCnqxA=
-----END CERTIFICATE-----
`;

export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRj6pArz9MZGlx5j1
EH4OY0yFUzMXACWqii0bevXlHeChRANCAAQ81O0Jcv/ISG7D5p6tm+oPO2OtzoAq
R3+NLrWbkIi21xWMYke4ivut6U8NknT9xdwPfVkI0IcYuUoNEWDEvmlM
-----END PRIVATE KEY-----
`;
