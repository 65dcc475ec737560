// Calls operations through the AWS SDK for JavaScript: driver.mjs ENDPOINT NAMESPACE, calls on standard input, one a
// line, each answered with one line. The first line says what the client knows.
import { createInterface } from "node:readline";

const [endpoint, namespace] = process.argv.slice(2);
const sdk = await import(`@aws-sdk/client-${namespace}`);
const Client = { chime: sdk.ChimeClient, "chime-sdk-voice": sdk.ChimeSDKVoiceClient }[namespace];
const client = new Client({
  endpoint,
  region: "us-east-1",
  maxAttempts: 1,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY },
});

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const known = {};
for (const name of Object.keys(sdk)) {
  const operation = name.replace(/Command$/, "");
  if (operation !== name && operation !== "$") {
    known[operation] = { paginator: `paginate${operation}` in sdk };
  }
}
say(known);

function plain(output) {
  const { $metadata, ...members } = output;
  return members;
}

async function call({ operation, in: input, page }) {
  try {
    if (page) {
      const pages = [];
      for await (const one of sdk[`paginate${operation}`]({ client, pageSize: page }, input)) {
        pages.push(plain(one));
      }
      return { pages };
    }
    const output = await client.send(new sdk[`${operation}Command`](input));
    return { out: plain(output), status: output.$metadata.httpStatusCode };
  } catch (e) {
    if (!e.$response && !e.$fault) {
      return { broken: String(e.stack ?? e) };
    }
    // An exception of the client's own is a class that it exports.
    const typed = typeof sdk[e.name] === "function" && e.constructor === sdk[e.name];
    return { fault: e.name, typed, message: e.message, code: e.Code, status: e.$metadata.httpStatusCode };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  say(await call(JSON.parse(line)));
}
