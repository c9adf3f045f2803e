--- What the server does now, as it tells: for the status line, and as one line in the corner while it works.

local config = require('fimble.config')
local notice = require('fimble.notice')

local M = {}

---@class fimble.State
---@field state 'idle'|'loading'|'measuring'|'reading'|'writing'|'waiting'|'off'|'failed'
---@field what 'completion'|'action'
---@field percent? integer
---@field text string

local states = {} ---@type table<integer, fimble.State> by client
local actions = {} ---@type table<string|integer, string> what is shown of each action that is carried out, by its token
local WORK = { loading = true, measuring = true, reading = true, writing = true, waiting = true }

--- What the line in the corner says, or nil.
local function line()
  local _, action = next(actions)
  if action then
    return (action:gsub('\n', ': '))
  end
  for _, state in pairs(states) do
    -- What is written is on the screen already, as far as it goes.
    local seen = state.state == 'writing' and require('fimble.ghost').text() ~= nil
    if WORK[state.state] and not seen then
      return 'fimble: ' .. state.text
    end
  end
end

--- Brings the corner up to date.
function M.draw()
  notice.line(config.options.progress and line() or nil)
end

--- Handles `fimble/state`.
---@param params fimble.State
function M.told(_, params, ctx)
  states[ctx.client_id] = params
  M.draw()
  vim.cmd.redrawstatus()
end

--- Takes note of a client's progress; the server's own actions can be cancelled, its loads cannot.
---@param event table of the autocommand LspProgress
---@return boolean whether something has ended
function M.progressed(event)
  local params = event.data.params
  local value, token = params.value, params.token
  if value.kind == 'end' then
    actions[token] = nil
  elseif value.cancellable then
    local title = value.title or actions[token] and actions[token]:match('^[^\n]*') or 'fimble'
    actions[token] = value.message and ('%s\n%s'):format(title, value.message) or title
  end
  M.draw()
  return value.kind == 'end'
end

--- Forgets a client that has ended.
---@param client_id integer
function M.forget(client_id)
  states[client_id], actions = nil, {}
  M.draw()
end

---@param client vim.lsp.Client
---@return fimble.State?
function M.of(client)
  return states[client.id]
end

--- The state in a word or two, for a status line.
---@param client vim.lsp.Client
---@return string
function M.short(client)
  local state = states[client.id]
  local known = state or not vim.tbl_get(client.server_capabilities or {}, 'experimental', 'fimble')
  if not known then
    return 'fimble …'
  elseif not state or state.state == 'idle' then
    return 'fimble'
  end
  return 'fimble ' .. state.state .. (type(state.percent) == 'number' and (' %d%%'):format(state.percent) or '')
end

return M
