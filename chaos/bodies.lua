-- Sends the lines of a file in turn as JSON, and prints how many replies there were and how many were not 200.
local bodies, threads, at, bad = {}, {}, 0, 0

function setup(thread) table.insert(threads, thread) end

function init(args)
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = wrk.format("POST", "/predict", { ["Content-Type"] = "application/json" }, line)
  end
  not_ok = 0
end

function request()
  at = at % #bodies + 1
  return bodies[at]
end

function response(status)
  if status ~= 200 then not_ok = not_ok + 1 end
end

function done(summary)
  for _, thread in ipairs(threads) do bad = bad + thread:get("not_ok") end
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("%d %d", summary.requests, bad + lost))
end
