// Reads deliveries from stdin, a line of JSON each, and writes what the library that
// the line names makes of it, a line of JSON each.
import { createInterface } from "node:readline";
import { verify } from "@octokit/webhooks-methods";
import * as standardwebhooks from "standardwebhooks";
import * as svix from "svix";

const libraries = {
  standardwebhooks: (d, body) => new standardwebhooks.Webhook(d.secret).verify(body, d.headers),
  svix: (d, body) => new svix.Webhook(d.secret).verify(body, d.headers),
  octokit: async (d, body) => {
    if (!(await verify(d.secret, body.toString("utf8"), d.headers["x-foreman-signature"]))) {
      throw new Error("does not match");
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const d = JSON.parse(line);
  let error = "";
  try {
    await libraries[d.library](d, Buffer.from(d.body, "base64"));
  } catch (e) {
    error = String(e);
  }
  console.log(JSON.stringify({ ok: error === "", error }));
}
