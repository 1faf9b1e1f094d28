// Failures in full, and at the end one line for each LibreChat path: a path is a test file's `describe`.
import path from 'node:path';

export default async function* reporter(source) {
  const running = new Map();
  const paths = [];
  const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const failed = type === 'test:fail';
    const counts = running.get(data.file) ?? { rules: 0, failed: 0, title: path.basename(data.file ?? data.name), ms: 0 };
    if (!running.has(data.file)) paths.push(counts);
    running.set(data.file, counts);
    if (data.nesting === 0 && data.details.type === 'suite') {
      Object.assign(counts, { title: data.name, ms: data.details.duration_ms });
      running.delete(data.file);
      if (failed && counts.failed === 0) {
        counts.failed += 1;
        yield `not ok ${data.name}\n${data.details.error?.cause?.stack ?? data.details.error}\n`;
      }
      continue;
    }
    if (data.details.type === 'suite') continue;
    counts.rules += 1;
    counts.failed += failed;
    yield `${failed ? 'not ok' : 'ok'}  ${data.name} (${seconds(data.details.duration_ms)})\n`;
    if (failed) yield `${data.details.error?.cause?.stack ?? data.details.error}\n`;
  }
  yield '\n';
  for (const { title, rules, failed, ms } of paths) {
    yield `${failed ? 'FAILED' : 'passed'}  ${title}: ${rules - failed} of ${rules} rules, ${seconds(ms)}\n`;
  }
}
