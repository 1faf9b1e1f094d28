// Every step is a request of the service's own API: nothing here is pretended, but for the answer that is thrown away.

import { $, chip, clock, copyButton, decoded, element, rows, shortened } from '/demo/parts.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const AUDIT_LINES = 200;

/** The demo secrets; handed out to this page alone. */
let demo;
/** The session on show: its id, its name in the audit trail, and every generation's tokens, oldest first. */
let session;

// Elements

function putFirst(list, item) {
  list.querySelector('.empty')?.remove();
  list.prepend(item);
}

// Requests

/** A request as it is sent, and as curl would send it. `members` are `[name, value]`. */
class Call {
  constructor(path, id, secret, members) {
    Object.assign(this, { path, id, secret, members });
  }

  async send() {
    try {
      const response = await fetch(this.path, {
        method: 'POST',
        body: new URLSearchParams(this.members),
        headers: { authorization: `Basic ${btoa(`${this.id}:${this.secret}`)}` },
        cache: 'no-store',
        credentials: 'omit',
      });
      return { status: response.status, body: await response.json() };
    } catch {
      return { status: 0, body: { error: 'no answer', error_description: 'Is the server still running?' } };
    }
  }

  /** For people, with tokens shortened and the secret hidden; or to be pasted, complete. */
  curl(complete) {
    const quoted = (text) => (!complete || /^[\w.:/~@=+-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
    const lines = [`curl -s -u ${quoted(`${this.id}:${complete ? this.secret : '•••'}`)}`];
    for (const [name, value] of this.members) {
      const option = /^[\w.~-]*$/.test(value) ? '-d' : '--data-urlencode';
      lines.push(`  ${option} ${quoted(`${name}=${complete ? value : shortened(value)}`)}`);
    }
    lines.push(`  ${location.origin}${this.path}`);
    return lines.join(' \\\n');
  }
}

const issueCall = (subject, seconds) =>
  new Call('/token', demo.issuer_id, demo.issuer_secret, [
    ['client_id', demo.client_id], ['subject', subject], ['expires_in', seconds],
  ]);

/** The client that users sign in to sends its refresh token alone, as an unmodified LibreChat does. */
const renewCall = ({ tokens }) => (session.isSignIn
  ? new Call('/token/renew', demo.oauth_client_id, demo.oauth_client_secret, [['refresh_token', tokens.refresh_token]])
  : new Call('/token/renew', demo.client_id, demo.client_secret, [
    ['refresh_token', tokens.refresh_token], ['access_token', tokens.access_token],
  ]));

// The session

/** A session's first token is the code, if it began with a sign-in: generation 0, exchanged for generation 1. */
async function begin(tokens, isSignIn) {
  const bytes = Uint8Array.from(atob(tokens.session_id.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes.slice(16)));
  const name = Array.from(digest.slice(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  session = { id: tokens.session_id, name, generations: isSignIn ? [{ number: 0 }] : [], ended: false, isSignIn };
  advance(tokens);
  for (const line of $('audit').children) markOthers(line);
}

/** A new generation is current. */
function advance(tokens) {
  const now = performance.now();
  session.generations.push({ number: session.generations.length, tokens });
  session.life = tokens.expires_in * 1000;
  session.expiresAt = now + session.life;
  show();
}

const current = () => session.generations.at(-1);
/** The newest refresh token that can only come from a thief. */
const stale = () => session?.generations.filter(({ tokens }) => tokens).at(-3);
const millisLeft = () => session.expiresAt - performance.now();

function show() {
  $('generations').replaceChildren(...session.generations.map(generationItem));
  $('session-name').replaceChildren('session ', element('code', {}, session.id.slice(0, 12), '…'));
  showToken(current().tokens.access_token);
  tick();
  enable();
}

function generationItem(generation) {
  const age = session.generations.length - 1 - generation.number;
  const [state, kind] = generation.stolen ? ['stolen, replayed', 'stolen']
    : session.ended ? ['ended', 'ended']
      : !generation.tokens ? ['exchanged', 'used']
      : age === 0 ? ['current', 'current']
        : age === 1 ? ['used, retry possible', 'calm'] : ['used', 'used'];
  const token = generation.tokens?.refresh_token;
  return element('li', { className: kind },
    element('div', { className: 'top' }, `Generation ${generation.number}`, chip(state, kind)),
    token ? element('div', { className: 'token' },
      element('code', {}, shortened(token)), copyButton(token, `the refresh token of generation ${generation.number}`))
      : element('div', { className: 'token' }, 'the authorization code'));
}

function showToken(token) {
  const [header, claims] = decoded(token);
  $('token-header').replaceChildren(...rows(header));
  $('token-claims').replaceChildren(...rows(claims));
  $('decoded').hidden = false;
}

function tick() {
  if (!session) return;
  const left = Math.max(0, Math.ceil(millisLeft() / 1000));
  const state = session.ended ? 'ended' : left === 0 ? 'expired' : 'live';
  const chipText = { ended: 'ended: theft detected', expired: 'access token expired', live: 'live' }[state];
  if ($('state').textContent !== chipText) {
    $('state').textContent = chipText;
    $('state').className = `chip ${state}`;
    document.querySelector('.session').className = `session ${state}`;
  }
  const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  const padded = (number) => String(number).padStart(2, '0');
  $('countdown').textContent = hours ? `${hours}:${padded(minutes)}:${padded(seconds)}` : `${minutes}:${padded(seconds)}`;
  $('countdown-text').textContent = left === 0 ? 'the access token has expired'
    : session.ended ? 'until it expires where it is verified offline' : 'until the access token expires';
  $('life-bar').style.width = `${Math.max(0, Math.min(100, (100 * millisLeft()) / session.life))}%`;
}

// The timeline

/** `call` is missing where the browser has not made it. */
function record({ kind, title, text, call, answer }) {
  const { status, body } = answer;
  const chipKind = kind === 'theft' ? 'alarm' : status === 200 ? 'live' : 'warn';
  const shownBody = Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, /token$/.test(name) ? shortened(String(value)) : value]));
  putFirst($('timeline'), element('li', { className: kind },
    element('div', { className: 'head' },
      title, chip(kind === 'lost' ? 'answer lost' : status ? String(status) : 'no answer', kind === 'lost' ? 'warn' : chipKind),
      element('time', {}, clock(new Date()))),
    element('p', {}, text),
    call && element('div', { className: 'curl' },
      element('pre', {}, call.curl(false)), copyButton(call.curl(true), 'the curl command, with its secrets')),
    kind === 'lost' ? undefined
      : element('details', {}, element('summary', {}, 'Answer'), element('pre', {}, JSON.stringify(shownBody, null, 2)))));
  $('said').textContent = `${title}. ${text}`;
}

const refusal = (answer) => answer.body.error_description ?? answer.body.error;

// Steps

async function issue() {
  const call = issueCall($('subject').value, $('life').value);
  const answer = await call.send();
  if (answer.status !== 200) {
    return record({ kind: 'refused', title: 'Issue refused', text: refusal(answer), call, answer });
  }
  $('timeline').replaceChildren();
  await begin(answer.body, false);
  record({ kind: 'issued', title: 'Issue: generation 0', call, answer,
    text: `The portal fetched tokens for ${$('subject').value}: an access token, and the first refresh token of a new session.` });
}

/** The browser is back from the portal: the demo client has exchanged the code, and gives its tokens to this page. */
async function signedIn() {
  const response = await fetch('/demo/client/hand-over', { method: 'POST', cache: 'no-store' });
  if (!response.ok) return;
  const { tokens, said } = await response.json();
  if (tokens) {
    await begin(tokens, true);
    record({ kind: 'issued', title: 'Sign in: generation 1', answer: { status: 200, body: tokens },
      text: `You said at the portal that you are ${decoded(tokens.id_token)[1].sub}. It told the server, the server gave the client a code, and the client exchanged it: the code was generation 0.` });
  } else if (said) {
    record({ kind: 'refused', title: 'Not signed in', answer: { status: 'refused', body: {} }, text: said });
  }
}

async function renew() {
  const call = renewCall(current());
  const answer = await call.send();
  if (answer.status !== 200) return refused('Renewal refused', call, answer);
  advance(answer.body);
  record({ kind: 'renewed', title: `Renew: generation ${current().number}`, call, answer,
    text: 'The refresh token was swapped for the next one, and a new access token came along.' });
}

async function loseAndRetry() {
  const call = renewCall(current());
  const lost = await call.send();
  if (lost.status !== 200) return refused('Renewal refused', call, lost);
  record({ kind: 'lost', title: 'Renew, and lose the answer', call, answer: lost,
    text: 'The server has renewed. Its answer never arrived: the client still holds the old refresh token.' });
  await sleep(700);
  const answer = await call.send();
  if (answer.status !== 200) return refused('Retry refused', call, answer);
  const same = answer.body.refresh_token === lost.body.refresh_token;
  advance(answer.body);
  record({ kind: 'retried', title: `Retry: generation ${current().number}`, call, answer,
    text: same ? 'The same request again gave the very same refresh token that was lost, and wrote nothing: the client goes on.'
      : 'The retry gave another refresh token than the one that was lost. That must not happen.' });
}

async function replay() {
  const stolen = stale();
  const call = renewCall(stolen);
  const answer = await call.send();
  if (answer.status === 200) {
    return record({ kind: 'theft', title: 'The stolen token was accepted', text: 'That must not happen.', call, answer });
  }
  if (answer.status !== 400) return refused('Replay not answered', call, answer);
  stolen.stolen = true;
  session.ended = true;
  show();
  record({ kind: 'theft', title: `A thief replays generation ${stolen.number}`, call, answer,
    text: 'Its successor has been used, so only a thief can have sent it, or the victim of one. The session ends for both. The answer does not say why; the audit trail does: reuse_detected.' });
  await sleep(700);
  const victims = renewCall(current());
  record({ kind: 'theft', title: 'The client renews', call: victims, answer: await victims.send(),
    text: 'Refused as well, in the same words: the user signs in again, and the thief cannot.' });
}

function refused(title, call, answer) {
  const expired = millisLeft() <= 0 && !session.ended;
  record({ kind: 'refused', title, call, answer,
    text: expired ? 'The access token has expired, and there is no grace period. Renew earlier, or issue a new one.' : refusal(answer) });
}

// Buttons

let busy = false;

function enable() {
  const goes = demo && session && !session.ended && !busy;
  $('issue').querySelector('button').disabled = !demo || busy;
  $('renew').disabled = !goes;
  $('lose').disabled = !goes;
  $('steal').disabled = !goes || !stale();
  $('steal-hint').textContent = goes && stale()
    ? `A thief replays the refresh token of generation ${stale().number}, which was used long ago.`
    : session?.ended ? 'The session has ended. Begin another.'
      : 'A thief replays an old refresh token. Renew twice first: then there is one.';
}

async function step(run) {
  if (busy) return;
  busy = true;
  enable();
  try {
    await run();
  } finally {
    busy = false;
    enable();
  }
}

// The audit trail

const TOLD = ['reason', 'generation', 'client_id', 'issuer_id', 'session', 'subject_hash', 'seconds_to_expiry', 'in_grace'];
const KINDS = {
  sign_in_accepted: 'live', token_issued: 'live', token_renewed: 'live', token_retried: 'calm', reuse_detected: 'alarm', state_mismatch: 'alarm',
};

function auditItem(line) {
  const facts = TOLD.filter((name) => name in line).map((name) => element('span', {}, `${name}=${line[name]}`));
  const kind = KINDS[line.event] ?? 'warn';
  const item = element('li', { className: kind === 'alarm' ? 'alarm' : '', 'data-event': line.event },
    element('div', { className: 'head' }, chip(line.event, kind), element('time', {}, clock(new Date(line.timestamp)))),
    element('p', { className: 'facts mono', title: JSON.stringify(line, null, 1) }, ...facts));
  if (line.session) item.dataset.session = line.session;
  markOthers(item);
  return item;
}

/** Lines of other sessions stand back. */
function markOthers(item) {
  item.classList.toggle('other', Boolean(session && item.dataset.session && item.dataset.session !== session.name));
}

async function follow() {
  const list = $('audit');
  let after = 0;
  for (;;) {
    try {
      const response = await fetch(`/demo/events?after=${after}`, { cache: 'no-store' });
      if (!response.ok) throw new Error(String(response.status));
      const { events, next } = await response.json();
      after = next;
      for (const line of events) putFirst(list, auditItem(line));
      while (list.children.length > AUDIT_LINES) list.lastElementChild.remove();
      $('audit-state').textContent = 'live';
    } catch {
      $('audit-state').textContent = 'the server does not answer';
      await sleep(2000);
    }
  }
}

// Start

$('issue').addEventListener('submit', (event) => {
  event.preventDefault();
  step(issue);
});
$('renew').addEventListener('click', () => step(renew));
$('lose').addEventListener('click', () => step(loseAndRetry));
$('steal').addEventListener('click', () => step(replay));
setInterval(tick, 250);
enable();
follow();

const answer = await fetch('/demo/credentials', { method: 'POST', cache: 'no-store' });
if (answer.ok) {
  demo = await answer.json();
} else {
  $('said').textContent = 'The server did not hand out the demo credentials to this page.';
  $('said').className = 'notice';
}
if (demo) await step(signedIn);
enable();
