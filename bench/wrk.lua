-- Sends the bytes of a file, again and again: wrk -s wrk.lua <url> -- <file>
-- The file may hold several requests: that many are pipelined.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local bytes = file:read("*a")
  file:close()
  -- wrk asks this once and, as no global `request` is defined, repeats the answer without calling Lua again.
  wrk.format = function() return bytes end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
