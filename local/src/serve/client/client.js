// The page of the demo client. Its back end speaks with the service; the page shows what came of it.

import { $, copyButton, decoded, element, rows, shortened } from '/demo/parts.js';

const SHOWN = ['access_token', 'id_token', 'refresh_token'];

/** What the back end answers. */
async function ask(action) {
  try {
    const response = await fetch(`/demo/client/${action}`, { method: 'POST', cache: 'no-store' });
    return await response.json();
  } catch {
    return { said: 'No answer. Is the server still running?' };
  }
}

function show({ tokens, said, userinfo }) {
  if (tokens !== undefined) showTokens(tokens);
  if (userinfo) {
    $('userinfo-claims').replaceChildren(...rows(userinfo));
    $('answer').hidden = false;
  }
  $('said').textContent = said ?? (userinfo ? `Userinfo says: ${userinfo.sub}.` : '');
}

function showTokens(tokens) {
  const isSignedIn = Boolean(tokens);
  for (const id of ['state', 'renew', 'userinfo', 'sign-out', 'tokens', 'decoded']) $(id).hidden = !isSignedIn;
  $('sign-in').hidden = isSignedIn;
  $('answer').hidden = true;
  if (!isSignedIn) {
    $('who').textContent = 'Nobody is signed in';
    return;
  }
  const [, claims] = decoded(tokens.id_token);
  $('who').textContent = `${claims.name ?? claims.sub} is signed in`;
  $('state').className = 'chip live';
  $('id-claims').replaceChildren(...rows(claims));
  $('access-claims').replaceChildren(...rows(decoded(tokens.access_token)[1]));
  $('tokens').replaceChildren(...SHOWN.filter((name) => tokens[name]).flatMap((name) => [
    element('dt', { className: 'mono' }, name),
    element('dd', { className: 'token' }, element('code', {}, shortened(tokens[name])), copyButton(tokens[name], `the ${name}`)),
  ]));
}

let busy = false;

/** One at a time: of two renewals at once one would be a retry. */
async function step(action) {
  if (busy) return;
  busy = true;
  const answer = await ask(action);
  busy = false;
  if (answer.redirect_to) location.assign(answer.redirect_to);
  else show(answer);
}

for (const id of ['renew', 'userinfo', 'sign-out']) $(id).addEventListener('click', () => step(id));
// Also when the browser comes back to the page as it was.
addEventListener('pageshow', (event) => { if (event.persisted) step('session'); });
await step('session');
