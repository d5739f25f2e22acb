-- What LuaJIT makes traces of: loops over numbers, tables, strings, structures of C, closures, side exits. Prints what
-- is the same with the compiler on and off.
local ffi, bit = require("ffi"), require("bit")

local function show(name, ...) print(name, ...) end

local function sieve(limit)
  local marked, count = {}, 0
  for i = 2, limit do
    if not marked[i] then
      count = count + 1
      for j = i * i, limit, i do marked[j] = true end
    end
  end
  return count
end
show("sieve", sieve(1000000))

local function queens(n)
  local count, columns, rising, falling = 0, {}, {}, {}
  local function place(row)
    if row > n then count = count + 1 return end
    for c = 1, n do
      if not (columns[c] or rising[row + c] or falling[row - c + n]) then
        columns[c], rising[row + c], falling[row - c + n] = true, true, true
        place(row + 1)
        columns[c], rising[row + c], falling[row - c + n] = false, false, false
      end
    end
  end
  place(1)
  return count
end
show("queens", queens(8))

local function mandelbrot(size)
  local inside = 0
  for y = 0, size - 1 do
    for x = 0, size - 1 do
      local cr, ci, zr, zi, i = 2 * x / size - 1.5, 2 * y / size - 1, 0, 0, 0
      while i < 50 and zr * zr + zi * zi < 4 do
        zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
        i = i + 1
      end
      if i == 50 then inside = inside + 1 end
    end
  end
  return inside
end
show("mandelbrot", mandelbrot(300))

ffi.cdef "typedef struct { double x, y; int32_t count; uint8_t small; } body;"
local bodies = ffi.new("body[?]", 64)
for i = 0, 63 do bodies[i].x, bodies[i].y, bodies[i].count, bodies[i].small = i, -i / 2, i, i * 5 end
for round = 1, 20000 do
  for i = 0, 63 do
    local b = bodies[i]
    b.x = b.x * 0.999 + b.y * 0.001
    b.y = b.y * 0.999 - b.x * 0.001
    b.count = bit.bxor(b.count, bit.lshift(round, i % 5))
    b.small = b.small + round
  end
end
local x, count, small = 0, 0, 0
for i = 0, 63 do x, count, small = x + bodies[i].x + bodies[i].y, count + bodies[i].count, small + bodies[i].small end
show("structures", string.format("%.10f", x), count, small)

local hash = 0
for i = 1, 300000 do
  local s = i % 1000 .. ":" .. (i * 7) % 13
  hash = bit.tobit(hash * 31 + #s + s:byte(1))
  if s:find("9:1", 1, true) then hash = bit.bxor(hash, i) end
end
show("strings", hash)

local wide = 1ULL
for i = 1, 3000000 do wide = wide * 6364136223846793005ULL + i end
show("wide", tostring(wide))

-- Each round changes the type in a place that the trace of the rounds before had seen otherwise.
local kinds = { function(i) return i end, function(i) return i + 0.5 end, function(i) return tostring(i) end,
                function(i) return { i } end, function(i) return nil end }
local total = 0
for round = 1, 60 do
  local make = kinds[round % #kinds + 1]
  for i = 1, 2000 do
    local v = make(i)
    local kind = type(v)
    if kind == "number" then total = total + v elseif kind == "string" then total = total + #v
    elseif kind == "table" then total = total - v[1] else total = total + 1 end
  end
end
show("kinds", total)

local failures = 0
for i = 1, 20000 do
  local right, message = pcall(function() if i % 3 == 0 then error("third " .. i) end return ("x"):rep(i % 10) .. i end)
  if not right then failures = failures + #message - #message + 1 end
end
show("failures", failures)

local generated = 0
for i = 1, 300 do
  local f = assert(loadstring("local s = 0 for k = 1, 500 do s = (s * " .. i .. " + k) % 65521 end return s"))
  generated = generated + f()
end
show("generated", generated)

local made = coroutine.wrap(function() for i = 1, 200000 do coroutine.yield(i % 7) end end)
local sum = 0
for i = 1, 200000 do sum = sum + made() end
show("coroutines", sum)

local entries = {}
for i = 1, 50000 do entries[i] = (i * 7919) % 50021 end
table.sort(entries, function(a, b) return a > b end)
show("sorted", entries[1], entries[25000], entries[50000])
