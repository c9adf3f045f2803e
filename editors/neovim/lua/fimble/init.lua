--- Puts the parts together: setup() takes the options, start() sets everything going, once.

local config = require('fimble.config')

local M = {}

local started = false

--- Takes the options; see |fimble-options|. Calling it is optional, and it may be called again.
---@param options? table
function M.setup(options)
  for _, problem in ipairs(config.set(options or {})) do
    require('fimble.notice').say(problem, vim.log.levels.WARN)
  end
  if started then
    require('fimble.keys').set(config.options.keys)
    require('fimble.client').start()
  end
end

--- Called by plugin/fimble.lua when the user's configuration has been read.
function M.start()
  if started then
    return
  end
  started = true
  require('fimble.inline').start()
  require('fimble.edits').start()
  require('fimble.keys').set(config.options.keys)
  require('fimble.client').start()
end

--- What to show in a status line: `fimble` and behind it what it does, such as `reading 40%`, `writing`, `off` or
--- `failed`; nothing where fimble does not serve.
---@return string
function M.statusline()
  return require('fimble.client').statusline(vim.api.nvim_get_current_buf())
end

return M
