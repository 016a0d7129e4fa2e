-- What wrk sends: one question again and again, or new events, as fast as answers come or at a fixed rate.
--
-- Arguments after `--`: `question FILE`, or
-- `events BATCH RATE RUN USERS TYPES`, where BATCH is 0 for the single mutation, RATE is requests a second in all (0: no limit),
-- RUN makes ids unique between runs, USERS is how many users there are, TYPES are event types, the most frequent first.
-- Ends with one line of JSON for the script.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long tv_sec; long tv_usec; } kohorta_time;
  int gettimeofday(kohorta_time *, void *);
]]
local clock = ffi.new("kohorta_time[1]")

-- Seconds and microseconds of the wall clock.
local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock[0].tv_sec), tonumber(clock[0].tv_usec)
end

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

-- Sending must cost less than what is measured, so most of an event is made beforehand: the parts that are the same for all
-- who send the same, once for TAILS of them.
local TAILS = 4096

local SINGLE = '{"query":"mutation($input: IngestEventInput!) { ingestEvent(input: $input) { status userErrors { code message } } }","variables":{"input":%s}}'
local BATCH = '{"query":"mutation($input: IngestEventsInput!) { ingestEvents(input: $input) { stored duplicates rejected } }","variables":{"input":{"events":[%s]}}}'
local HEAD = '{"eventId":"%08x-%04x-7%03x-%04x-%012x","occurredAt":"%s.%06dZ","userId":"'
local TAIL = '","eventType":"%s","properties":{"platform":"%s","country":"%s","plan":"pro","duration_ms":%d,"signed_in":true}}'
local PLATFORMS = { "web", "ios", "android" }
local COUNTRIES = { "US", "DE", "BR", "IN", "FR", "GB", "JP" }

local batch, rate, run, users
local types = {}
local tails = {}
local counter = 0
local second, second_text = 0, ""

-- The text of one new event: mostly of known users, one in a hundred of a new one; few types are frequent.
local function event()
  counter = counter + 1
  local seconds, micros = now()
  if seconds ~= second then
    second, second_text = seconds, os.date("!%Y-%m-%dT%H:%M:%S", seconds)
  end
  local millis = seconds * 1000 + math.floor(micros / 1000)
  local user
  if counter % 100 == 0 then
    user = string.format("new-%d-%d-%d", run, number, counter)
  else
    user = string.format("user-%07d", math.random(0, users - 1))
  end
  local head = string.format(HEAD, math.floor(millis / 65536), millis % 65536, number, 0x8000 + run % 0x4000, counter,
    second_text, micros)
  return head .. user .. tails[counter % TAILS + 1]
end

local function tail()
  local kind = types[math.floor(#types * math.random() ^ 2) + 1]
  return string.format(TAIL, kind, PLATFORMS[math.random(#PLATFORMS)], COUNTRIES[math.random(#COUNTRIES)], math.random(0, 90000))
end

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if arguments[1] == "question" then
    local file = assert(io.open(arguments[2]))
    wrk.body = file:read("*a")
    file:close()
    return
  end
  batch, rate, run, users = tonumber(arguments[2]), tonumber(arguments[3]), tonumber(arguments[4]), tonumber(arguments[5])
  for name in arguments[6]:gmatch("[^,]+") do
    types[#types + 1] = name
  end
  math.randomseed(run * 1000 + number)
  for position = 1, TAILS do
    tails[position] = tail()
  end
  request = function()
    if batch == 0 then
      return wrk.format(nil, nil, nil, SINGLE:format(event()))
    end
    local events = {}
    for position = 1, batch do
      events[position] = event()
    end
    return wrk.format(nil, nil, nil, BATCH:format(table.concat(events, ",")))
  end
  if rate > 0 then
    -- Requests have their times, whatever the answers take: a slow answer is caught up with.
    local step, due = 1000 / rate, 0
    delay = function()
      local seconds, micros = now()
      local millis = seconds * 1000 + micros / 1000
      if due == 0 then
        due = millis
      end
      due = due + step
      return math.max(0, math.floor(due - millis))
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
