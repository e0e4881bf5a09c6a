// What a program on the TypeScript SDK does; any failure ends it with a code other than 0.
import assert from "node:assert/strict";
import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.LETTA_BASE_URL,
  apiKey: process.env.LETTA_API_KEY,
  maxRetries: 0,
});

const agent = await client.agents.create({
  name: "typescript",
  model: "o/echo",
  memory_blocks: [{ label: "human", value: "Ada" }],
});
assert.equal(agent.blocks[0].value, "Ada");

const turn = await client.agents.messages.create(agent.id, { input: "hello" });
assert.equal(turn.messages.at(-1).content, "echo: hello");
assert.equal(turn.stop_reason.stop_reason, "end_turn");

let text = "";
const stream = await client.agents.messages.create(agent.id, {
  input: "one two",
  streaming: true,
  stream_tokens: true,
});
for await (const event of stream) {
  if (event.message_type === "assistant_message") text += event.content;
}
assert.equal(text, "echo: one two");

const kinds = [];
for await (const message of client.agents.messages.list(agent.id, { limit: 2, order: "asc" })) {
  kinds.push(message.message_type);
}
assert.equal(kinds.length, 4);

await client.agents.passages.create(agent.id, { text: "The volcano sleeps." });
const found = await client.agents.passages.search(agent.id, { query: "volcano" });
assert.equal(found.results[0].content, "The volcano sleeps.");

const folder = await client.folders.create({ name: "typescript" });
const file = new File(["lions and volcanoes"], "notes.txt", { type: "text/plain" });
const uploaded = await client.folders.files.upload(folder.id, { file });
assert.equal(uploaded.file_name, "notes.txt");
await client.folders.delete(folder.id);

// Typed as a string, but parsed by the SDK, since it is JSON.
const exported = JSON.stringify(await client.agents.exportFile(agent.id));
const copy = await client.agents.importFile({ file: new File([exported], "agent.af") });
await client.agents.delete(copy.agent_ids[0]);

await client.agents.delete(agent.id);
await assert.rejects(client.agents.retrieve(agent.id), Letta.NotFoundError);
console.log("done");
