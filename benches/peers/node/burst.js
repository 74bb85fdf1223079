// From a RabbitMQ queue to APNs, as a user of amqplib and @parse/node-apn would write it: a prefetch, one provider that
// keeps its connections, acks that cover all before them. Nothing of retries, timeouts, metrics or back-pressure.
//
//   node burst.js AMQP_URI QUEUE MESSAGES APNS_PORT CA_FILE KEY_FILE KEY_ID TEAM_ID

const amqp = require("amqplib");
const apn = require("@parse/node-apn");
const fs = require("fs");

const [uri, queue, messages, port, ca, key, keyId, teamId] = process.argv.slice(2);
const PREFETCH = 2000;
const ACK_EVERY = 100;

const provider = new apn.Provider({
  token: { key: fs.readFileSync(key), keyId, teamId },
  address: "localhost",
  port: Number(port),
  ca: fs.readFileSync(ca),
  production: false,
});

async function main() {
  const connection = await amqp.connect(uri);
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  let answered = 0;
  let failed = 0;
  const open = new Set();
  let settled = 0;
  let acked = 0;
  await new Promise((resolve, reject) => {
    channel.consume(queue, (message) => {
      open.add(message.fields.deliveryTag);
      push(message)
        .then((ok) => {
          if (!ok) failed += 1;
          answered += 1;
          settle(message.fields.deliveryTag);
          if (answered === Number(messages)) resolve();
        })
        .catch(reject);
    });

    // Everything up to the oldest that is still open is acked at once.
    function settle(tag) {
      open.delete(tag);
      settled += 1;
      if (settled >= ACK_EVERY || open.size === 0) {
        const [oldest] = open;
        const upTo = oldest === undefined ? tag : oldest - 1;
        if (upTo > acked) channel.ack({ fields: { deliveryTag: upTo } }, true);
        acked = Math.max(acked, upTo);
        settled = 0;
      }
    }
  });
  await channel.close();
  await connection.close();
  await provider.shutdown();
  console.log(JSON.stringify({ answered, failed }));
}

async function push(message) {
  const job = JSON.parse(message.content.toString());
  const notification = new apn.Notification({
    topic: `com.example.${job.app}`,
    expiry: Math.floor(Date.now() / 1000) + job.ttl,
    priority: job.priority === "high" ? 10 : 5,
    pushType: "alert",
    alert: { title: job.notification.title, body: job.notification.body },
    payload: job.data,
  });
  const tokens = job.to.map((target) => target.apns);
  const { failed } = await provider.send(notification, tokens);
  if (failed.length > 0) console.error(failed[0].error || failed[0].response);
  return failed.length === 0;
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
