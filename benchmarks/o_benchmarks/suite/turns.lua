-- Turns of many agents, one after the other; each connection waits for its answer.
-- Arguments: a file with one agent's id per line, and an API key (optional).
-- Prints one line of JSON at the end; times in microseconds.

local ids, requests, at = {}, {}, 0
local body = '{"messages":[{"role":"user","content":"hello"}]}'
local headers = { ["content-type"] = "application/json" }

function init(arguments)
  for id in io.lines(arguments[1]) do
    ids[#ids + 1] = id
  end
  if arguments[2] then
    headers["authorization"] = "Bearer " .. arguments[2]
  end
end

function request()
  at = at % #ids + 1
  if not requests[at] then
    requests[at] = wrk.format("POST", "/v1/agents/" .. ids[at] .. "/messages", headers, body)
  end
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local unanswered = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"answered":%d,"took_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"refused":%d,"unanswered":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, errors.status, unanswered))
end
