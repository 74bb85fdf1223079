"""From a RabbitMQ queue to APNs, as a user of aio-pika and aioapns would write it.

    python burst.py AMQP_URI QUEUE MESSAGES APNS_PORT CA_FILE KEY_FILE KEY_ID TEAM_ID

A prefetch, one client that keeps its connections, a task for each message, acks that cover all before them. Nothing of
retries, timeouts, metrics or back-pressure.
"""

import asyncio
import json
import ssl
import sys

import aio_pika
from aioapns import APNs, NotificationRequest, PushType

PREFETCH = 2000
ACK_EVERY = 100


async def main(uri, queue_name, messages, port, ca, key, key_id, team_id):
    messages = int(messages)
    # A context of one's own has to offer HTTP/2 itself.
    trust = ssl.create_default_context(cafile=ca)
    trust.set_alpn_protocols(["h2"])
    client = APNs(
        key=open(key).read(),
        key_id=key_id,
        team_id=team_id,
        topic="com.example.app0",
        ssl_context=trust,
    )
    # The library knows Apple's servers only.
    client.pool.protocol_class.APNS_SERVER = "localhost"
    client.pool.protocol_class.APNS_PORT = int(port)

    connection = await aio_pika.connect(uri)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    queue = await channel.get_queue(queue_name)
    pushed = Pushed(messages)

    async def push(message):
        job = json.loads(message.body)
        alert = {"title": job["notification"]["title"], "body": job["notification"]["body"]}
        for target in job["to"]:
            request = NotificationRequest(
                device_token=target["apns"],
                message={"aps": {"alert": alert}, **job["data"]},
                time_to_live=job["ttl"],
                priority=10 if job["priority"] == "high" else 5,
                push_type=PushType.ALERT,
            )
            response = await client.send_notification(request)
            pushed.failed += not response.is_successful
        await pushed.settle(message)

    tasks = set()

    def arrived(message):
        pushed.open[message.delivery_tag] = None
        task = asyncio.create_task(push(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await queue.consume(arrived)
    await pushed.all.wait()
    await connection.close()
    print(json.dumps({"answered": pushed.answered, "failed": pushed.failed}))


class Pushed:
    """Acks everything up to the oldest that is still open, by the hundred."""

    def __init__(self, messages):
        self.messages = messages
        self.open = {}
        self.answered = 0
        self.failed = 0
        self.settled = 0
        self.latest = {}
        self.all = asyncio.Event()

    async def settle(self, message):
        del self.open[message.delivery_tag]
        self.latest[message.delivery_tag] = message
        self.answered += 1
        self.settled += 1
        if self.settled >= ACK_EVERY or not self.open:
            oldest = next(iter(self.open), None)
            done = [tag for tag in self.latest if oldest is None or tag < oldest]
            if done:
                await self.latest[max(done)].ack(multiple=True)
            for tag in done:
                del self.latest[tag]
            self.settled = 0
        if self.answered == self.messages:
            self.all.set()


asyncio.run(main(*sys.argv[1:]))
