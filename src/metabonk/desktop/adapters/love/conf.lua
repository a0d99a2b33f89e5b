-- Configuration of a LÖVE game under MetaBonk: the game's own, without waiting for a screen.

if love.filesystem.getInfo("metabonk_conf.lua") then
  love.filesystem.load("metabonk_conf.lua")()
end

local configure = love.conf or function() end

function love.conf(t)
  configure(t)
  t.console = false
  t.window.vsync = 0
  t.window.fullscreen = false
  t.window.highdpi = false
end
