// W1's like as a Restate service: `node restate.cjs PORT`, with the SDK on NODE_PATH.
//
// Restate journals the input and the output of each invocation. Code that gives the same each time needs no step of its own, so
// `plain` is the usual way; `stepwise` journals each step, as Trinity's history does.
const http2 = require("node:http2");
const restate = require("@restatedev/restate-sdk");

const convert = (event) => ({ deviceId: event.deviceId, celsius: ((event.temperature - 32) * 5) / 9 });
const levelOf = (converted) => (converted.celsius > 70 ? "high" : "normal");

const w1 = restate.service({
  name: "W1",
  handlers: {
    plain: async (_, event) => {
      const converted = convert(event);
      return { ...converted, level: levelOf(converted) };
    },
    stepwise: async (ctx, event) => {
      const converted = await ctx.run("convert", () => convert(event));
      const level = levelOf(converted);
      return await ctx.run(level, () => ({ ...converted, level }));
    },
  },
});

const endpoint = restate.endpoint().bind(w1);
http2.createServer(endpoint.http2Handler()).listen(Number(process.argv[2]), "127.0.0.1");
