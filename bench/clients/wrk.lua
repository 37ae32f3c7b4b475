-- Sends the bytes of a file, again and again: wrk -s wrk.lua <url> -- <file> <status> <variety> [<file with the expected body>]
-- The first file may hold several requests: that many are pipelined.
-- With a variety, a number below it takes the place of `{}` in each request. With the last file every answer is checked in full. That slows wrk, so the measured window goes without.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local bytes = contents(args[1])
  -- wrk asks this once and, as no global `request` is defined, repeats the answer without calling Lua again.
  wrk.format = function() return bytes end
  local variety = tonumber(args[3])
  if variety > 0 then
    -- A global of this name is called for every request.
    local before, after = bytes:match("^(.-){}(.*)$")
    request = function() return before .. math.random(0, variety - 1) .. after end
  end
  mismatches = 0
  if args[4] then
    local expected = contents(args[4])
    local wanted = tonumber(args[2])
    -- wrk calls a global of this name for every answer, if there is one.
    response = function(status, _, body)
      if status ~= wanted or body ~= expected then mismatches = mismatches + 1 end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local mismatches = 0
  for _, thread in ipairs(threads) do mismatches = mismatches + thread:get("mismatches") end
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"mismatch":%d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout, mismatches
  ))
end

function contents(name)
  local file = assert(io.open(name, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end
