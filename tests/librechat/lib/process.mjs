// One of several LibreChat processes: renews when it is told to, with a token that another process may renew as well.
import { openIdConfig } from './librechat.js';

const [version, issuer, client] = process.argv.slice(2);
const library = await import(version);
const config = await openIdConfig(library, issuer, JSON.parse(client));

process.on('message', async (refreshToken) => {
  try {
    const tokens = await library.refreshTokenGrant(config, refreshToken, { scope: 'openid profile email' });
    process.send({ refresh_token: tokens.refresh_token, sub: tokens.claims().sub });
  } catch (error) {
    process.send({ error: error.error ?? String(error) });
  }
});
process.send('ready');
