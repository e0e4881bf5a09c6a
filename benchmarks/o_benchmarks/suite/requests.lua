-- Requests from a file, one after the other; each connection waits for its answer.
-- Arguments: a file whose lines are METHOD, PATH and BODY, parted by tabs; an API key (optional).
-- Prints one line of JSON at the end; times in microseconds.

local lines, requests, at = {}, {}, 0
local headers = { ["content-type"] = "application/json" }

function init(arguments)
  for line in io.lines(arguments[1]) do
    lines[#lines + 1] = line
  end
  if arguments[2] then
    headers["authorization"] = "Bearer " .. arguments[2]
  end
end

function request()
  at = at % #lines + 1
  if not requests[at] then
    local method, path, body = lines[at]:match("^(%S+)\t(%S+)\t(.*)$")
    requests[at] = wrk.format(method, path, headers, body ~= "" and body or nil)
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
