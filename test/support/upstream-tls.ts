/**
 * A self-signed certificate of `localhost` and 127.0.0.1, valid until 2126, for fake instances that
 * speak TLS. Its key is public and protects nothing.
 */
export const tlsKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggTjsKxkcQt9IKCBo
aAzsz0efXth9Vd2gJtGLrnoBm5+hRANCAATrwce9Ab6qy5LBI0m09pV9JyNM/TuI
IxweFpy5jnMsA6CNl5j0goRp9YE44d+Ne3s2LNvHSK5mw7t/wzjVpqVU
-----END PRIVATE KEY-----
`;

export const tlsCertificate = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUbHEQqSuhGx592JOLMNFle9TdivMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA4MjExNVoYDzIxMjYxMDI5
MDgyMTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATrwce9Ab6qy5LBI0m09pV9JyNM/TuIIxweFpy5jnMsA6CNl5j0goRp
9YE44d+Ne3s2LNvHSK5mw7t/wzjVpqVUo28wbTAdBgNVHQ4EFgQUGsjRjlpHlLxM
9Tzxlj4Nca9r31UwHwYDVR0jBBgwFoAUGsjRjlpHlLxM9Tzxlj4Nca9r31UwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgckvs5/tuKFAOH24g5tBd9IIj65RHws0eSXBvu6eX3O0CIQD3
WI3jUKvLF5GyKK7N1qqOxuyRW58Bg3y4Ja/NY49QTA==
-----END CERTIFICATE-----
`;
