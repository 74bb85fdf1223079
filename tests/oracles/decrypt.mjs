// Decrypts messages with the npm library http_ece: an oracle that is none of ours.
//
// Lines in: {"private": hex, "auth": base64url, "body": base64, "plain": base64}. Says how many it has decrypted.

import { createECDH } from "node:crypto";
import { createInterface } from "node:readline";
import ece from "http_ece";

let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  const privateKey = createECDH("prime256v1");
  privateKey.setPrivateKey(Buffer.from(message.private, "hex"));
  const plain = ece.decrypt(Buffer.from(message.body, "base64"), {
    version: "aes128gcm", privateKey, authSecret: message.auth,
  });
  if (!plain.equals(Buffer.from(message.plain, "base64"))) {
    console.error(`message ${count} is another one than was sent`);
    process.exit(1);
  }
  count += 1;
}
console.log(count);
