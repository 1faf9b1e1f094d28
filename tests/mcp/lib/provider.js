// What an MCP client keeps of its sign-in at one server, in memory, for the SDK's clients of versions 1 and 2.
export class Provider {
  forgotten = [];

  /** `information`: the client's own registration; without one the SDK registers itself. */
  constructor(redirectUrl, information, metadata = {}) {
    this.redirectUrl = redirectUrl;
    this.information = information;
    this.clientMetadata = { redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none', client_name: 'A test', ...metadata };
  }

  state() {
    return 'state of a test';
  }

  clientInformation() {
    return this.information;
  }

  saveClientInformation(information) {
    this.information = information;
  }

  tokens() {
    return this.kept;
  }

  saveTokens(tokens) {
    this.kept = tokens;
  }

  redirectToAuthorization(url) {
    this.asked = url;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }

  invalidateCredentials(what) {
    this.forgotten.push(what);
    if (what === 'tokens' || what === 'all') this.kept = undefined;
  }
}
