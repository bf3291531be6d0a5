"""The operations of the API, by their names there. Made by ``make client`` from the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ums.client.connection import Connection, path

if TYPE_CHECKING:
    from ums.client import shapes


class Client(Connection):
    """The API, typed. Members of bodies and queries are keywords, named as in the document; ``None`` is not sent.

    Every method raises the ``UmsError`` that the service answered, or ``UnavailableError`` where it did not answer.
    """

    def get_info(self) -> shapes.Info:
        """Say what a client needs to know of the service."""
        answer: shapes.Info = self.get("/info")
        return answer

    def get_trust(self) -> shapes.Trust:
        """Show whose signatures count."""
        answer: shapes.Trust = self.get("/trust")
        return answer

    def get_plan(self, **query: Unpack[shapes.GetPlanQuery]) -> shapes.Plan:
        """Show what would be done now: who moves, and why the others do not."""
        answer: shapes.Plan = self.get("/plan", dict(query))
        return answer

    def get_status(self) -> shapes.Status:
        """Show how everything is."""
        answer: shapes.Status = self.get("/status")
        return answer

    def get_log(self, **query: Unpack[shapes.GetLogQuery]) -> shapes.Log:
        """List decisions, newest first."""
        answer: shapes.Log = self.get("/log", dict(query))
        return answer

    def get_releases(self, **query: Unpack[shapes.GetReleasesQuery]) -> shapes.Releases:
        """List releases, by bundle, newest first."""
        answer: shapes.Releases = self.get("/releases", dict(query))
        return answer

    def register_release(self, **body: Unpack[shapes.RegisterBody]) -> shapes.ReleaseInFull:
        """Register a published release."""
        answer: shapes.ReleaseInFull = self.post("/releases", dict(body))
        return answer

    def get_release(self, bundle: str, version: str) -> shapes.ReleaseInFull:
        """Show a release and what is in it."""
        answer: shapes.ReleaseInFull = self.get(path("/releases/{bundle}/{version}", bundle, version))
        return answer

    def get_diff(self, bundle: str, version: str, **query: Unpack[shapes.GetDiffQuery]) -> shapes.Diff:
        """Show what differs from another release, or from nothing."""
        answer: shapes.Diff = self.get(path("/releases/{bundle}/{version}/diff", bundle, version), dict(query))
        return answer

    def get_floors(self, **query: Unpack[shapes.GetFloorsQuery]) -> shapes.Floors:
        """List the floors that releases declare for those after them."""
        answer: shapes.Floors = self.get("/floors", dict(query))
        return answer

    def get_exposed(self, bundle: str, version: str) -> shapes.Exposed:
        """Count the data planes that have a release, or may have it."""
        answer: shapes.Exposed = self.get(path("/releases/{bundle}/{version}/exposed", bundle, version))
        return answer

    def yank(self, bundle: str, version: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Withdrawn:
        """Give a release to nobody new."""
        answer: shapes.Withdrawn = self.post(path("/releases/{bundle}/{version}/yank", bundle, version), dict(body))
        return answer

    def unyank(self, bundle: str, version: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Withdrawn:
        """Take a yank back."""
        answer: shapes.Withdrawn = self.post(path("/releases/{bundle}/{version}/unyank", bundle, version), dict(body))
        return answer

    def recall(self, bundle: str, version: str, **body: Unpack[shapes.RecallBody]) -> shapes.Withdrawn:
        """Move whoever has a release off it."""
        answer: shapes.Withdrawn = self.post(path("/releases/{bundle}/{version}/recall", bundle, version), dict(body))
        return answer

    def get_keys(self, **query: Unpack[shapes.GetKeysQuery]) -> shapes.Keys:
        """Show release keys and state keys, which data planes know them, and what is to be published next."""
        answer: shapes.Keys = self.get("/keys", dict(query))
        return answer

    def rotate_keys(self, **body: Unpack[shapes.RotateKeysBody]) -> shapes.KeysRotated:
        """Add keys to trust.yaml, and drop others."""
        answer: shapes.KeysRotated = self.post("/keys", dict(body))
        return answer

    def look_again(self, bundle: str, version: str, **body: Unpack[shapes.LookAgainBody]) -> shapes.ReleaseInFull:
        """Take down who else signed a release since it was registered."""
        answer: shapes.ReleaseInFull = self.post(
            path("/releases/{bundle}/{version}/signatures", bundle, version), dict(body)
        )
        return answer

    def get_channels(self) -> shapes.Channels:
        """List channels."""
        answer: shapes.Channels = self.get("/channels")
        return answer

    def get_channel(self, channel: str) -> shapes.ChannelInFull:
        """Show a channel with its policy and what waits for its gates."""
        answer: shapes.ChannelInFull = self.get(path("/channels/{channel}", channel))
        return answer

    def set_policy(self, channel: str, **body: Unpack[shapes.PolicyBody]) -> shapes.Recorded:
        """Put a policy in force."""
        answer: shapes.Recorded = self.post(path("/channels/{channel}/policy", channel), dict(body))
        return answer

    def lint_policy(self, channel: str, **body: Unpack[shapes.PolicyBody]) -> shapes.Linted:
        """Check a policy that could be put in force, as whoever may set it."""
        answer: shapes.Linted = self.post(path("/channels/{channel}/policy/lint", channel), dict(body))
        return answer

    def promote(self, channel: str, **body: Unpack[shapes.PromoteBody]) -> shapes.Promotion:
        """Promote a release to a channel, now or once all gates are open."""
        answer: shapes.Promotion = self.post(path("/channels/{channel}/promotions", channel), dict(body))
        return answer

    def cancel_promotion(self, channel: str, **body: Unpack[shapes.CancelBody]) -> shapes.Recorded:
        """Take a wish for a promotion back."""
        answer: shapes.Recorded = self.post(path("/channels/{channel}/cancellations", channel), dict(body))
        return answer

    def get_gates(self, channel: str, **query: Unpack[shapes.GetGatesQuery]) -> shapes.Gates:
        """Ask every gate between a release and a channel."""
        answer: shapes.Gates = self.get(path("/channels/{channel}/gates", channel), dict(query))
        return answer

    def approve(self, channel: str, **body: Unpack[shapes.ApprovalBody]) -> shapes.Approved:
        """Say yes, or no, to a promotion."""
        answer: shapes.Approved = self.post(path("/channels/{channel}/approvals", channel), dict(body))
        return answer

    def override_gate(self, channel: str, **body: Unpack[shapes.OverrideBody]) -> shapes.Overridden:
        """Override what a gate finds against a promotion."""
        answer: shapes.Overridden = self.post(path("/channels/{channel}/overrides", channel), dict(body))
        return answer

    def get_rollouts(self, channel: str, **query: Unpack[shapes.GetRolloutsQuery]) -> shapes.Rollouts:
        """List the rollouts of a channel."""
        answer: shapes.Rollouts = self.get(path("/channels/{channel}/rollouts", channel), dict(query))
        return answer

    def steer_rollout(self, channel: str, bundle: str, step: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Steered:
        """Pause, resume, cancel or retry a rollout, or go on to its next wave."""
        answer: shapes.Steered = self.post(
            path("/channels/{channel}/rollouts/{bundle}/{step}", channel, bundle, step), dict(body)
        )
        return answer

    def roll_back_channel(self, channel: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """Take a channel back to an earlier release, and hold it there."""
        answer: shapes.Recorded = self.post(path("/channels/{channel}/rollbacks", channel), dict(body))
        return answer

    def unhold_channel(self, channel: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """End a hold of a channel."""
        answer: shapes.Recorded = self.post(path("/channels/{channel}/unholds", channel), dict(body))
        return answer

    def get_planes(self, **query: Unpack[shapes.GetPlanesQuery]) -> shapes.Planes:
        """List data planes, by name."""
        answer: shapes.Planes = self.get("/pdps", dict(query))
        return answer

    def add_plane(self, **body: Unpack[shapes.PlaneBody]) -> shapes.Recorded:
        """Register a data plane."""
        answer: shapes.Recorded = self.post("/pdps", dict(body))
        return answer

    def get_plane(self, org: str, pdp: str) -> shapes.PlaneInFull:
        """Show a data plane, and why it does not move."""
        answer: shapes.PlaneInFull = self.get(path("/pdps/{org}/{pdp}", org, pdp))
        return answer

    def change_plane(self, org: str, pdp: str, **body: Unpack[shapes.PlaneChangeBody]) -> shapes.Recorded:
        """Change a registration."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/registration", org, pdp), dict(body))
        return answer

    def remove_plane(self, org: str, pdp: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Recorded:
        """Remove a data plane: its credentials end, and what runs in its cluster runs on."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/remove", org, pdp), dict(body))
        return answer

    def get_explanation(self, org: str, pdp: str) -> shapes.Explanations:
        """Explain why a data plane is where it is."""
        answer: shapes.Explanations = self.get(path("/pdps/{org}/{pdp}/explanation", org, pdp))
        return answer

    def get_history(self, org: str, pdp: str, **query: Unpack[shapes.GetHistoryQuery]) -> shapes.History:
        """List what a data plane said of its health whenever that became another, newest first."""
        answer: shapes.History = self.get(path("/pdps/{org}/{pdp}/history", org, pdp), dict(query))
        return answer

    def get_bootstrap(self, org: str, pdp: str, **query: Unpack[shapes.GetBootstrapQuery]) -> shapes.Bootstrap:
        """Make the objects that connect a cluster; secrets are among them."""
        answer: shapes.Bootstrap = self.get(path("/pdps/{org}/{pdp}/bootstrap", org, pdp), dict(query))
        return answer

    def rotate(self, org: str, pdp: str, **body: Unpack[shapes.RotateBody]) -> shapes.Rotated:
        """Make new credentials, beside which the previous ones are good for a while; these are shown this once."""
        answer: shapes.Rotated = self.post(path("/pdps/{org}/{pdp}/rotate", org, pdp), dict(body))
        return answer

    def finish_rotation(self, org: str, pdp: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Recorded:
        """End the previous credentials at once."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/finish-rotation", org, pdp), dict(body))
        return answer

    def pin(self, org: str, pdp: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """Keep a bundle or component within versions."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/pins", org, pdp), dict(body))
        return answer

    def unpin(self, org: str, pdp: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """End a pin."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/unpins", org, pdp), dict(body))
        return answer

    def hold(self, org: str, pdp: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """Keep a bundle or component where it is, or at a release."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/holds", org, pdp), dict(body))
        return answer

    def unhold(self, org: str, pdp: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """End a hold."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/unholds", org, pdp), dict(body))
        return answer

    def roll_back(self, org: str, pdp: str, **body: Unpack[shapes.InstructBody]) -> shapes.Recorded:
        """Take a data plane back to an earlier release, and hold it there."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/rollbacks", org, pdp), dict(body))
        return answer

    def consent(self, org: str, pdp: str, **body: Unpack[shapes.ConsentBody]) -> shapes.Recorded:
        """Agree to a release as the owner."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/consents", org, pdp), dict(body))
        return answer

    def accept_risk(self, org: str, pdp: str, **body: Unpack[shapes.AcceptBody]) -> shapes.Recorded:
        """Take a risk as the owner."""
        answer: shapes.Recorded = self.post(path("/pdps/{org}/{pdp}/accepted-risks", org, pdp), dict(body))
        return answer

    def get_freezes(self) -> shapes.Freezes:
        """List the freezes in force."""
        answer: shapes.Freezes = self.get("/freezes")
        return answer

    def freeze(self, **body: Unpack[shapes.FreezeBody]) -> shapes.Frozen:
        """Freeze everything, or what is named."""
        answer: shapes.Frozen = self.post("/freezes", dict(body))
        return answer

    def thaw(self, **body: Unpack[shapes.ThawBody]) -> shapes.Named:
        """End a freeze."""
        answer: shapes.Named = self.post("/thaws", dict(body))
        return answer

    def get_risks(self) -> shapes.Risks:
        """List declared risks."""
        answer: shapes.Risks = self.get("/risks")
        return answer

    def declare_risk(self, **body: Unpack[shapes.RiskBody]) -> shapes.Named:
        """Declare a risk."""
        answer: shapes.Named = self.post("/risks", dict(body))
        return answer

    def retract_risk(self, name: str, **body: Unpack[shapes.ReasonBody]) -> shapes.Named:
        """Take a risk back."""
        answer: shapes.Named = self.post(path("/risks/{name}/retract", name), dict(body))
        return answer

    def get_events(self, **query: Unpack[shapes.GetEventsQuery]) -> shapes.Feed:
        """Tell what happened after a commit, as CloudEvents, oldest first."""
        answer: shapes.Feed = self.get("/events", dict(query))
        return answer

    def get_insights(self, **query: Unpack[shapes.GetInsightsQuery]) -> shapes.Insights:
        """Tell DORA's four figures by channel, and what about them is approximate."""
        answer: shapes.Insights = self.get("/insights", dict(query))
        return answer

    def get_webhooks(self) -> shapes.Webhooks:
        """List webhooks."""
        answer: shapes.Webhooks = self.get("/webhooks")
        return answer

    def add_webhook(self, **body: Unpack[shapes.WebhookBody]) -> shapes.AddedWebhook:
        """Add a webhook; its secret is shown this once."""
        answer: shapes.AddedWebhook = self.post("/webhooks", dict(body))
        return answer

    def remove_webhook(self, name: str, **body: Unpack[shapes.RevokeBody]) -> shapes.Removed:
        """Remove a webhook and what is on its way to it."""
        answer: shapes.Removed = self.post(path("/webhooks/{name}/remove", name), dict(body))
        return answer

    def get_deliveries(self, name: str, **query: Unpack[shapes.GetDeliveriesQuery]) -> shapes.Deliveries:
        """List deliveries to a webhook, newest first."""
        answer: shapes.Deliveries = self.get(path("/webhooks/{name}/deliveries", name), dict(query))
        return answer

    def replay_delivery(self, delivery: str, **body: Unpack[shapes.ReplayBody]) -> shapes.Replayed:
        """Deliver again."""
        answer: shapes.Replayed = self.post(path("/deliveries/{delivery}/replay", delivery), dict(body))
        return answer

    def get_audit(self, **query: Unpack[shapes.GetAuditQuery]) -> shapes.SecurityEvents:
        """List security events, newest first."""
        answer: shapes.SecurityEvents = self.get("/audit", dict(query))
        return answer

    def get_audit_export(self, **query: Unpack[shapes.GetAuditExportQuery]) -> shapes.AuditRecords:
        """List all decisions and security events in one, oldest first."""
        answer: shapes.AuditRecords = self.get("/audit/export", dict(query))
        return answer

    def get_tokens(self) -> shapes.Tokens:
        """List tokens."""
        answer: shapes.Tokens = self.get("/tokens")
        return answer

    def issue_token(self, **body: Unpack[shapes.TokenBody]) -> shapes.IssuedToken:
        """Issue a token; it is shown this once."""
        answer: shapes.IssuedToken = self.post("/tokens", dict(body))
        return answer

    def revoke_token(self, token_id: str, **body: Unpack[shapes.RevokeBody]) -> shapes.Revoked:
        """Revoke a token."""
        answer: shapes.Revoked = self.post(path("/tokens/{token_id}/revoke", token_id), dict(body))
        return answer

    def get_roles(self) -> shapes.Roles:
        """List the roles granted in Git that the asker could grant."""
        answer: shapes.Roles = self.get("/roles")
        return answer

    def grant_role(self, **body: Unpack[shapes.GrantBody]) -> shapes.RolesChanged:
        """Grant a role, in Git."""
        answer: shapes.RolesChanged = self.post("/roles", dict(body))
        return answer

    def revoke_role(self, **body: Unpack[shapes.RoleBody]) -> shapes.RolesChanged:
        """Take a role back: with limits the grant of just these, without any every grant of the role."""
        answer: shapes.RolesChanged = self.post("/roles/revoke", dict(body))
        return answer

    def get_whoami(self) -> shapes.WhoAmI:
        """Say who asks, how that is known, and what they may."""
        answer: shapes.WhoAmI = self.get("/whoami")
        return answer
