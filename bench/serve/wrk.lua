-- The same request again and again: `wrk … -s wrk.lua URL -- BODY [NAME VALUE]…`; at the end one line of figures as JSON.

function init(args)
   wrk.method = "POST"
   wrk.body = assert(io.open(args[1], "rb")):read("*a")
   for at = 2, #args, 2 do
      wrk.headers[args[at]] = args[at + 1]
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "errors": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed
   ))
end
