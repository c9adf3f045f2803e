--- Completion menus: whether one is open, and being told when that changes.

local M = {}

---@return boolean
function M.visible()
  if vim.fn.pumvisible() == 1 then
    return true
  end
  -- These draw menus of their own. Only what is loaded already is asked.
  local cmp, blink = package.loaded['cmp'], package.loaded['blink.cmp']
  if cmp and cmp.visible and cmp.visible() then
    return true
  end
  return blink ~= nil and blink.is_menu_visible ~= nil and blink.is_menu_visible()
end

--- Calls `changed` after a menu has opened or closed.
---@param group integer
---@param changed fun()
function M.watch(group, changed)
  local later = vim.schedule_wrap(changed)
  vim.api.nvim_create_autocmd({ 'CompleteChanged', 'CompleteDone' }, { group = group, callback = later })
  vim.api.nvim_create_autocmd('User', {
    group = group,
    pattern = { 'BlinkCmpMenuOpen', 'BlinkCmpMenuClose' },
    callback = later,
  })
  vim.api.nvim_create_autocmd('InsertEnter', {
    group = group,
    callback = function()
      local cmp = package.loaded['cmp']
      if cmp and cmp.event and not M.told_by_cmp then
        M.told_by_cmp = true
        cmp.event:on('menu_opened', later)
        cmp.event:on('menu_closed', later)
      end
    end,
  })
end

return M
