--- The language server: how it is found and started, which buffers it gets, and what happens when it dies.

local config = require('fimble.config')
local notice = require('fimble.notice')
local state = require('fimble.state')

local M = {}

M.NAME = 'fimble'
M.INSTALL = "pip install . && fimble models pull starter, in a checkout of fimble"

local MOST_RESTARTS, RESTARTS_MS = 3, 60000
-- The language server protocol's names for what Neovim calls otherwise.
local LANGUAGE_IDS = { cs = 'csharp', sh = 'shellscript', bash = 'shellscript', cuda = 'cuda-cpp' }

local deaths = {} ---@type number[]
local said_missing, restarting, crashed = false, false, false

--- A program that lies in an environment of this shell or of the folder. It is named, never run: a folder that
--- somebody else has made may hold anything.
---@return string?
local function elsewhere()
  local folders = { vim.env.VIRTUAL_ENV, vim.env.CONDA_PREFIX }
  for _, name in ipairs({ '.venv', 'venv' }) do
    vim.list_extend(folders, vim.fs.find(name, { upward = true, type = 'directory', path = vim.fn.getcwd() }))
  end
  for _, folder in pairs(folders) do
    for _, program in ipairs({ '/bin/fimble', '/Scripts/fimble.exe' }) do
      if vim.fn.executable(folder .. program) == 1 then
        return folder .. program
      end
    end
  end
end

--- What to do about a program that is not found: where it was looked for, and both ways out.
local function not_found()
  local there = elsewhere()
  local path = there or '/path/to/.venv/bin/fimble'
  return ('the program `fimble` is neither on the PATH that Neovim has nor in ~/.local/bin. %s, name it: '
    .. "require('fimble').setup({ cmd = { '%s', 'serve' } }), or link it: ln -s %s ~/.local/bin/. %s: %s"):format(
    there and 'There is one in an environment; if you trust it' or 'If it is in an environment',
    path,
    path,
    there and 'Else install one' or 'If it is not installed',
    M.INSTALL
  )
end

--- The command that starts the server, or nil and what to do about it.
---@return string[]?, string?
function M.command()
  local given = config.options.cmd
  if #given > 0 then
    if vim.fn.executable(given[1]) == 1 then
      return given
    end
    return nil, ('the option `cmd` names %s, which is no program'):format(given[1])
  end
  for _, program in ipairs({ 'fimble', '~/.local/bin/fimble' }) do
    local path = vim.fn.exepath(vim.fn.expand(program))
    if path ~= '' then
      return { path, 'serve' }
    end
  end
  return nil, not_found()
end

--- Whether fimble serves a buffer: a file, or one to be, of a file type that is on.
---@param buf integer
function M.serves(buf)
  return vim.api.nvim_buf_is_loaded(buf) and vim.bo[buf].buftype == '' and config.wants(vim.bo[buf].filetype)
end

---@param buf integer
---@return vim.lsp.Client?
function M.of(buf)
  for _, client in ipairs(vim.lsp.get_clients({ bufnr = buf, name = M.NAME })) do
    return client
  end
end

local function root_of(buf)
  local name = vim.api.nvim_buf_get_name(buf)
  return name ~= '' and vim.fs.root(buf, config.options.root_markers) or nil
end

--- One server for the whole of Neovim, since each holds a model. A further root becomes one of its folders.
local function reuse(client, wanted)
  if client.name ~= M.NAME or M.call(client, 'is_stopped') then
    return false
  end
  local root = wanted.root_dir
  if type(root) == 'string' then
    local uri = vim.uri_from_fname(root)
    local folders = client.workspace_folders or {}
    for _, folder in ipairs(folders) do
      if folder.uri == uri then
        return true
      end
    end
    folders[#folders + 1] = { uri = uri, name = root }
    client.workspace_folders = folders
    if client.initialized then
      local event = { added = { folders[#folders] }, removed = {} }
      M.call(client, 'notify', 'workspace/didChangeWorkspaceFolders', { event = event })
    end
  end
  return true
end

local function capabilities()
  local made = vim.lsp.protocol.make_client_capabilities()
  -- We show inline completions whatever Neovim says of itself, so no second copy is wanted in the menu.
  made.textDocument.inlineCompletion = { dynamicRegistration = false }
  made.general.positionEncodings = { 'utf-8', 'utf-16', 'utf-32' }
  made.experimental = { fimble = { notifications = { 'state' } } }
  return made
end

--- Neovim 0.12 asks before an edit that has annotations, and takes for an answer what is being typed when the edit
--- comes. `u` undoes an edit as a whole. Here because Neovim adds its own capabilities to those of the configuration.
local function without_annotations(params)
  params.capabilities.workspace.workspaceEdit.changeAnnotationSupport = nil
end

local function warn(message)
  notice.say(message, vim.log.levels.WARN)
end

--- Starts a server for a buffer, or gives it to the one that runs.
local function attach(buf)
  local made = vim.fn.has('nvim-0.11') == 1 and vim.deepcopy(vim.lsp.config[M.NAME]) or M.config()
  made.root_dir = root_of(buf)
  vim.lsp.start(made, { bufnr = buf, reuse_client = reuse })
end

--- After a crash, or for :Fimble restart, the server is started again for the buffers it had.
---@param buffers integer[]
local function start_again(buffers)
  local now = vim.uv.now()
  deaths = vim.tbl_filter(function(time)
    return now - time < RESTARTS_MS
  end, deaths)
  if not restarting then
    deaths[#deaths + 1] = now
  end
  restarting = false
  if #deaths > MOST_RESTARTS then
    return warn(('the server died %d times in a minute and is left alone; see :Fimble log'):format(#deaths))
  elseif #deaths > 0 then
    warn('the server died and is started again; see :Fimble log')
  end
  for _, buf in ipairs(buffers) do
    if M.serves(buf) then
      attach(buf)
    end
  end
end

--- Runs the server's program. Neovim is told that it ended well, whatever happened: its own message about a crash
--- is so long that it asks for Enter, and takes the next key typed for that.
local function run(dispatchers)
  local command = assert(M.command())
  local told = vim.tbl_extend('force', dispatchers, {
    on_exit = function(code, signal)
      crashed = code ~= 0 or (signal ~= 0 and signal ~= 15)
      dispatchers.on_exit(0, 0)
    end,
  })
  return vim.lsp.rpc.start(command, told)
end

--- Called by Neovim when the server has ended. What it has to do cannot wait: were a key typed while a buffer has
--- no client, Neovim (0.10 to 0.12) would stop following the buffer, and a later client would not hear of changes.
local function exited(_, _, client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  vim.schedule(function()
    state.forget(client_id)
  end)
  if client and (crashed or restarting) then
    local buffers = vim.tbl_keys(client.attached_buffers)
    crashed = false
    vim.schedule(function()
      if vim.v.exiting == vim.NIL then
        start_again(buffers)
      end
    end)
  end
end

--- The configuration for vim.lsp.start and for lsp/fimble.lua.
---@return vim.lsp.ClientConfig
function M.config()
  return {
    name = M.NAME,
    cmd = run,
    capabilities = capabilities(),
    before_init = without_annotations,
    settings = { fimble = next(config.options.settings) and config.options.settings or vim.empty_dict() },
    reuse_client = reuse,
    root_dir = function(buf, on_dir)
      if M.serves(buf) and M.command() then
        on_dir(root_of(buf))
      end
    end,
    get_language_id = function(_, filetype)
      return LANGUAGE_IDS[filetype] or filetype
    end,
    handlers = {
      ['window/showDocument'] = require('fimble.float').show_document,
      ['window/showMessage'] = notice.show_message,
      ['fimble/state'] = state.told,
    },
    on_exit = exited,
  }
end

local function start_for(buf)
  if not M.serves(buf) then
    return
  end
  local command, problem = M.command()
  if not command then
    if not said_missing then
      said_missing = true
      warn(problem)
    end
  elseif vim.fn.has('nvim-0.11') == 0 then
    attach(buf)
  end
end

--- Starts the server for all buffers it serves, now and later. May be called again, after a change of options.
function M.start()
  vim.api.nvim_create_autocmd('FileType', {
    group = vim.api.nvim_create_augroup('fimble.start', {}),
    callback = function(event)
      start_for(event.buf)
    end,
  })
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    start_for(buf)
  end
  if vim.fn.has('nvim-0.11') == 1 then
    vim.lsp.config(M.NAME, {}) -- so that lsp/fimble.lua is read again
    vim.lsp.enable(M.NAME)
  end
end

--- Ends the server; what it served goes to a new one. Without a server, starts one.
function M.restart()
  local clients = vim.lsp.get_clients({ name = M.NAME })
  deaths, restarting = {}, #clients > 0
  for _, client in ipairs(clients) do
    M.call(client, 'stop')
  end
  if #clients == 0 then
    M.start()
  end
end

--- Calls a method of a client. Neovim 0.10 has them as functions that know their client.
---@param client vim.lsp.Client
---@param method string
function M.call(client, method, ...)
  if vim.fn.has('nvim-0.11') == 1 then
    return client[method](client, ...)
  end
  return client[method](...)
end

--- Runs a command of the server's, such as one that comes with a suggestion.
function M.execute(client, command, buf)
  local execute = client.exec_cmd or client._exec_cmd -- its name in Neovim 0.10
  execute(client, command, { bufnr = buf })
end

---@param buf integer
---@return string
function M.statusline(buf)
  local client = M.of(buf)
  if not client then
    return ''
  end
  if not config.shows(buf) then
    return 'fimble off'
  end
  return state.short(client)
end

return M
