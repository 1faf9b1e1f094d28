// LibreChat's own configuration of its libraries, without its database: what a user is looked up by is what is returned.
import jwksRsa from 'jwks-rsa';
import { Passport } from 'passport';
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt';

/** `jwt`: LibreChat's strategy for tokens signed with JWT_SECRET. */
export const jwtLogin = (secret) => new JwtStrategy(
  { jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(), secretOrKey: secret },
  (payload, done) => done(null, payload.id ? payload : false),
);

/** `openidJwt`: LibreChat's strategy for tokens of the OpenID issuer (OPENID_REUSE_TOKENS). */
export const openIdJwtLogin = ({ issuer, jwks_uri }, audience) => new JwtStrategy(
  {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKeyProvider: jwksRsa.passportJwtSecret({ cache: true, cacheMaxAge: 60_000, jwksUri: jwks_uri }),
    issuer,
    audience,
  },
  (payload, done) => done(null, payload.sub ? payload : false),
);

/** Sends a request with this bearer through passport; the payload that was let in, or `{refused}` with the reason. */
export function authenticate(strategy, token) {
  const passport = new Passport().use('under-test', strategy);
  const request = { headers: { authorization: `Bearer ${token}` } };
  return new Promise((resolve, reject) => {
    passport.authenticate('under-test', { session: false }, (error, payload, info) => {
      if (error) reject(error);
      else resolve(payload || { refused: info?.message ?? String(info) });
    })(request, {}, reject);
  });
}

/** OPENID_REUSE_TOKENS: discovery and renewal as LibreChat does them; plain http is allowed because this is loopback. */
export async function openIdConfig(library, issuer, { client_id, client_secret }) {
  return library.discovery(new URL(issuer), client_id, { client_id, client_secret }, undefined, {
    execute: [library.allowInsecureRequests],
  });
}

/** One character of the signature is another one. */
export function tamper(token, part = 2) {
  const parts = token.split('.');
  const middle = parts[part].length >> 1;
  const other = parts[part][middle] === 'A' ? 'B' : 'A';
  parts[part] = parts[part].slice(0, middle) + other + parts[part].slice(middle + 1);
  return parts.join('.');
}

export const decode = (token) => {
  const [header, payload] = token.split('.').map((part, i) => (i < 2 ? JSON.parse(Buffer.from(part, 'base64url')) : null));
  return { header, payload };
};
