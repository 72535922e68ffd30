// Clients of the proxy, and targets for them.

import net from "node:net";

/** A SOCKS5 session to a target, which is given by address or name; with a login if there is a user. */
export function open(proxy, host, port, user, password) {
  const [address, own] = [proxy.slice(0, proxy.lastIndexOf(":")), Number(proxy.slice(proxy.lastIndexOf(":") + 1))];
  return new Promise((resolve, reject) => {
    const socket = net.connect(own, address);
    socket.setNoDelay(true);
    const wanted = [];
    let received = Buffer.alloc(0);
    const take = (count, then) => wanted.push({ count, then });
    const fail = (why) => {
      socket.destroy();
      reject(new Error(why));
    };
    const read = (data) => {
      received = Buffer.concat([received, data]);
      while (wanted.length > 0 && received.length >= wanted[0].count) {
        const { count, then } = wanted.shift();
        const part = received.subarray(0, count);
        received = received.subarray(count);
        then(part);
      }
    };
    socket.on("data", read);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the proxy closed")));
    const ask = () => {
      const name = Buffer.from(host);
      const target = net.isIPv4(host) ? Buffer.from([1, ...host.split(".").map(Number)])
        : Buffer.concat([Buffer.from([3, name.length]), name]);
      socket.write(Buffer.concat([Buffer.from([5, 1, 0]), target, Buffer.from([port >> 8, port & 255])]));
      take(10, (reply) => {
        if (reply[1] !== 0) return fail(`reply code ${reply[1]}`);
        socket.off("data", read);
        socket.removeAllListeners("error");
        socket.removeAllListeners("close");
        socket.on("error", () => {});
        resolve(socket);
      });
    };
    socket.write(Buffer.from([5, 1, user === undefined ? 0 : 2]));
    take(2, () => {
      if (user === undefined) return ask();
      const [name, secret] = [Buffer.from(user), Buffer.from(password)];
      socket.write(Buffer.concat([Buffer.from([1, name.length]), name, Buffer.from([secret.length]), secret]));
      take(2, (verdict) => (verdict[1] === 0 ? ask() : fail("the login was refused")));
    });
  });
}

/** A target that answers each octet with `times` octets; gives its port. */
export function origin(times) {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => socket.write(Buffer.alloc(data.length * times)));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => {
    server.unref();
    resolve(server.address().port);
  }));
}

/** `host:port` of the scene in its parts. */
export function split(address) {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
