// LibreChat's sign-in by OpenID: its routes, its session and its strategy, set up by its environment; no database, no pages.
import { once } from 'node:events';
import express from 'express';
import session from 'express-session';
import get from 'lodash/get.js';
import { Passport } from 'passport';

import { Browser } from './browser.js';
import { authenticate, decode, jwtLogin, openIdConfig, openIdJwtLogin } from './librechat.js';

/** Longer addresses of a sign-out get no `id_token_hint`. */
const MAX_SIGN_OUT_URL = 2000;

export class Chat {
  /** `version`: of openid-client; `environment`: what stands in `.env`, `DOMAIN_CLIENT` and `DOMAIN_SERVER` included. */
  static async start(version, environment) {
    const chat = new Chat();
    chat.environment = environment;
    chat.library = await import(version);
    const { Strategy } = await import(`${version}/passport`);
    chat.config = await openIdConfig(chat.library, environment.OPENID_ISSUER, {
      client_id: environment.OPENID_CLIENT_ID, client_secret: environment.OPENID_CLIENT_SECRET,
    });
    chat.server = chat.#routes(chat.#passport(Strategy)).listen(0, '127.0.0.1');
    await once(chat.server, 'listening');
    chat.address = `http://127.0.0.1:${chat.server.address().port}`;
    return chat;
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  /** A browser for which this is the host that the environment names. */
  browser() {
    return new Browser({ [this.environment.DOMAIN_SERVER]: this.address });
  }

  /** Whom a bearer lets in: LibreChat's strategy for the tokens of its OpenID issuer. */
  letsIn(bearer) {
    return authenticate(openIdJwtLogin(this.config.serverMetadata(), this.environment.OPENID_CLIENT_ID), bearer);
  }

  /** The same for a browser that has signed in by OpenID: what is no token of the issuer's is tried as one of LibreChat's own. */
  async letsBrowserIn(bearer) {
    const user = await this.letsIn(bearer);
    return user.refused ? authenticate(jwtLogin(this.environment.JWT_SECRET), bearer) : user;
  }

  #passport(Strategy) {
    const { DOMAIN_SERVER, OPENID_SCOPE, OPENID_CALLBACK_URL, OPENID_AUDIENCE, OPENID_GENERATE_NONCE } = this.environment;
    const { randomNonce } = this.library;
    class OpenId extends Strategy {
      currentUrl(request) {
        return new URL(`${DOMAIN_SERVER}${request.originalUrl}`);
      }

      authorizationRequestParams(request, options) {
        const parameters = new URLSearchParams(super.authorizationRequestParams(request, options));
        if (options.state) parameters.set('state', options.state);
        if (OPENID_AUDIENCE) parameters.set('audience', OPENID_AUDIENCE);
        if (OPENID_GENERATE_NONCE === 'true') parameters.set('nonce', randomNonce());
        return parameters;
      }
    }
    const strategy = (callback) => new OpenId(
      { config: this.config, scope: OPENID_SCOPE, callbackURL: DOMAIN_SERVER + callback },
      (tokens, done) => this.#user(tokens).then((user) => done(null, user), (error) => done(null, false, error)),
    );
    return new Passport().use('openid', strategy(OPENID_CALLBACK_URL)).use('openidAdmin', strategy('/api/admin/oauth/openid/callback'));
  }

  /** The user as LibreChat would store it: claims of the ID token and of userinfo, roles by the environment. */
  async #user(tokens) {
    const {
      OPENID_NAME_CLAIM, OPENID_REQUIRED_ROLE, OPENID_REQUIRED_ROLE_PARAMETER_PATH, OPENID_ADMIN_ROLE, OPENID_ADMIN_ROLE_PARAMETER_PATH,
      OPENID_REQUIRED_ROLE_TOKEN_KIND, OPENID_ADMIN_ROLE_TOKEN_KIND,
    } = this.environment;
    const claims = tokens.claims();
    const userinfo = { ...claims, ...await this.library.fetchUserInfo(this.config, tokens.access_token, claims.sub) };
    const kinds = { id: () => decode(tokens.id_token).payload, access: () => decode(tokens.access_token).payload, userinfo: () => userinfo };
    const has = (role, path, kind) => [get(kinds[kind](), path)].flat().includes(role);
    if (OPENID_REQUIRED_ROLE && !has(OPENID_REQUIRED_ROLE, OPENID_REQUIRED_ROLE_PARAMETER_PATH, OPENID_REQUIRED_ROLE_TOKEN_KIND)) {
      throw new Error(`You must have "${OPENID_REQUIRED_ROLE}" role to log in.`);
    }
    const isAdmin = OPENID_ADMIN_ROLE && has(OPENID_ADMIN_ROLE, OPENID_ADMIN_ROLE_PARAMETER_PATH, OPENID_ADMIN_ROLE_TOKEN_KIND);
    return {
      openidId: claims.sub, email: userinfo.email, name: OPENID_NAME_CLAIM ? userinfo[OPENID_NAME_CLAIM] : userinfo.email,
      username: userinfo.preferred_username || userinfo.email, role: isAdmin ? 'ADMIN' : 'USER', tokens,
    };
  }

  #routes(passport) {
    const { DOMAIN_CLIENT, OPENID_SESSION_SECRET, OPENID_CALLBACK_URL, OPENID_SCOPE } = this.environment;
    const app = express();
    app.use(session({ secret: OPENID_SESSION_SECRET, resave: false, saveUninitialized: false }));
    const begin = (name) => (request, response, next) =>
      passport.authenticate(name, { session: false, state: this.library.randomState() })(request, response, next);
    const finish = (name) => (request, response, next) =>
      passport.authenticate(name, { session: false }, (error, user, info) => {
        if (!user) {
          response.redirect(`${DOMAIN_CLIENT}/login?message=${encodeURIComponent((error ?? info).message)}`);
          return;
        }
        request.session.user = user;
        response.redirect(`${DOMAIN_CLIENT}/`);
      })(request, response, next);
    app.get('/oauth/openid', begin('openid'));
    app.get(OPENID_CALLBACK_URL, finish('openid'));
    app.get('/api/admin/oauth/openid', begin('openidAdmin'));
    app.get('/api/admin/oauth/openid/callback', finish('openidAdmin'));
    // LibreChat's are POST; what they do is the same.
    app.get('/api/auth/refresh', async (request, response) => {
      const { user } = request.session;
      try {
        user.tokens = await this.library.refreshTokenGrant(this.config, user.tokens.refresh_token, { scope: OPENID_SCOPE });
        response.json({ token: user.tokens.id_token || user.tokens.access_token, user });
      } catch (error) {
        response.status(401).json({ error: error.error });
      }
    });
    app.get('/api/auth/logout', (request, response) => {
      const hint = request.session.user.tokens.id_token;
      request.session.destroy(() => response.json({ redirect: this.signOutUrl(hint) }));
    });
    return app;
  }

  /** OPENID_USE_END_SESSION_ENDPOINT: where the browser goes to sign out. */
  signOutUrl(hint) {
    const { OPENID_USE_END_SESSION_ENDPOINT, OPENID_POST_LOGOUT_REDIRECT_URI, DOMAIN_CLIENT, OPENID_CLIENT_ID } = this.environment;
    if (OPENID_USE_END_SESSION_ENDPOINT !== 'true') return undefined;
    const url = new URL(this.config.serverMetadata().end_session_endpoint);
    url.searchParams.set('post_logout_redirect_uri', OPENID_POST_LOGOUT_REDIRECT_URI ?? `${DOMAIN_CLIENT}/login`);
    const hinted = new URL(url);
    hinted.searchParams.set('id_token_hint', hint);
    if (hinted.href.length <= MAX_SIGN_OUT_URL) return hinted.href;
    url.searchParams.set('logout_hint', decode(hint).payload.email);
    url.searchParams.set('client_id', OPENID_CLIENT_ID);
    return url.href;
  }
}
