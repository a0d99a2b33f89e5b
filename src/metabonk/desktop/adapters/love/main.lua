-- Adapter for LÖVE games: runs the game's main.lua with a clock, a keyboard and random numbers that
-- answer to MetaBonk. metabonk/desktop/adapter.py describes the requests.

local ffi = require("ffi")

ffi.cdef([[
  int open(const char *path, int flags);
  void *mmap(void *address, size_t length, int protection, int flags, int file, long offset);
  void *memcpy(void *target, const void *source, size_t size);
]])

local O_RDWR, PROT_READ_WRITE, MAP_SHARED = 2, 3, 1 -- fcntl.h, sys/mman.h

local function setting(name)
  local value = os.getenv("METABONK_" .. name)
  return value or error("METABONK_" .. name .. " is not set")
end

local replies = io.open(setting("REPLIES"), "w")
local requests = io.open(setting("REQUESTS"), "r")

local function reply(...)
  replies:write(table.concat({...}, " "), "\n")
  replies:flush()
end

-- Errors end the game; LÖVE would show them and wait for a key.
local function fail(message)
  reply("error", (tostring(message):gsub("%s+", " ")))
  return function() return 1 end
end
love.errorhandler, love.errhand = fail, fail

local tic_s = 1 / tonumber(setting("TICS_PER_SECOND"))
local max_width, max_height = tonumber(setting("WIDTH")), tonumber(setting("HEIGHT"))

local function compile(name, prefix)
  local chunk, mistake = loadstring(prefix .. setting(name), name:lower())
  return assert(chunk, mistake)
end

-- Time passes by tics alone.
local now = 0
love.timer.getTime = function() return now end
love.timer.getDelta = function() return tic_s end
love.timer.getAverageDelta = love.timer.getDelta
love.timer.step = love.timer.getDelta
love.timer.getFPS = function() return math.floor(1 / tic_s + 0.5) end
love.timer.sleep = function() end
os.clock = love.timer.getTime
local time_of, date = os.time, os.date
os.time = function(fields) return fields and time_of(fields) or 1700000000 + math.floor(now) end
os.date = function(format, time) return date(format, time or os.time()) end

-- Random numbers that drawing takes must not change those of the game: frames are left undrawn.
local playing, drawing = love.math.newRandomGenerator(0), love.math.newRandomGenerator(0)
local generator = playing
local function random(...) return generator:random(...) end
math.random, love.math.random = random, random
love.math.randomNormal = function(...) return generator:randomNormal(...) end
math.randomseed, love.math.setRandomSeed = function() end, function() end

-- A keyboard whose keys MetaBonk holds.
local held = {}
local function is_down(...)
  for _, key in ipairs({...}) do
    if held[key] then return true end
  end
  return false
end
love.keyboard.isDown, love.keyboard.isScancodeDown = is_down, is_down

local function hold(keys)
  local wanted = {}
  for _, key in ipairs(keys) do wanted[key] = true end
  local released = {}
  for key in pairs(held) do
    if not wanted[key] then released[#released + 1] = key end
  end
  table.sort(released)
  for _, key in ipairs(released) do
    held[key] = nil
    if love.keyreleased then love.keyreleased(key, key) end
  end
  for _, key in ipairs(keys) do
    if not held[key] then
      held[key] = true
      if love.keypressed then love.keypressed(key, key, false) end
    end
  end
end

local set_mode = love.window.setMode
function love.window.setMode(width, height, flags)
  flags = flags or {}
  flags.vsync, flags.fullscreen = 0, false
  return set_mode(width, height, flags)
end

local frame = ffi.C.mmap(
  nil, 4 * max_width * max_height, PROT_READ_WRITE, MAP_SHARED,
  ffi.C.open(setting("FRAME"), O_RDWR), 0
)

local function copy_frame(image)
  if image:getWidth() <= max_width and image:getHeight() <= max_height then
    ffi.C.memcpy(frame, image:getFFIPointer(), image:getSize())
  end
end

local function draw()
  generator = drawing
  drawing:setSeed(0)
  love.graphics.origin()
  love.graphics.clear(love.graphics.getBackgroundColor())
  if love.draw then love.draw() end
  love.graphics.captureScreenshot(copy_frame)
  love.graphics.present()
  generator = playing
  reply("ok", love.graphics.getWidth(), love.graphics.getHeight())
end

require("metabonk_main")
love.errorhandler, love.errhand = fail, fail

local begin, each_tic = compile("BEGIN", ""), compile("EACH_TIC", "")
local value, over = compile("VALUE", "return "), compile("OVER", "return ")

local function state(tics)
  local number, is_over = value(), over()
  if type(number) ~= "number" then error("the reward's value is " .. tostring(number)) end
  reply("ok", ("%.17g"):format(number), is_over and 1 or 0, tics)
end

local function discard_events()
  love.event.pump()
  for name in love.event.poll() do
    if name == "quit" then error("the game was left") end
  end
end

local function step(words)
  local tics, done = tonumber(table.remove(words, 1)), 0
  hold(words)
  while done < tics do
    now = now + tic_s
    if love.update then love.update(tic_s) end
    each_tic()
    done = done + 1
    if over() then break end
  end
  discard_events()
  state(done)
end

local function reset(seed)
  playing:setSeed(seed)
  now, held = 0, {}
  begin()
  state(0)
end

function love.run()
  if love.load then love.load({}, {}) end
  compile("RESIZE", "local width, height = ... ")(max_width, max_height)
  reply("ready", 1)
  for line in requests:lines() do
    local words = {}
    for word in line:gmatch("%S+") do words[#words + 1] = word end
    local request = table.remove(words, 1)
    if request == "step" then
      step(words)
    elseif request == "draw" then
      draw()
    elseif request == "reset" then
      reset(tonumber(words[1]))
    else
      error("unknown request " .. line)
    end
  end
  return function() return 0 end
end
