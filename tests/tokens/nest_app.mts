import "reflect-metadata"
import { Controller, Get, Module, NotFoundException, Param, Req, UseGuards } from "@nestjs/common"
import { NestFactory } from "@nestjs/core"
import { AgentGuard } from "./agent_token.mts"
import { listening } from "./serve.mjs"

@Controller()
@UseGuards(AgentGuard)
class Users {
  @Get("me")
  me(@Req() request: any) {
    return { user_id: request.agent.user_id, role: request.agent.agent_role }
  }

  @Get("users/:id")
  user(@Req() request: any, @Param("id") id: string) {
    if (id !== request.agent.user_id) throw new NotFoundException()
    return this.me(request)
  }
}

@Module({ controllers: [Users] })
class App {}

const app = await NestFactory.create(App, { logger: ["error"] })
await app.listen(0, "127.0.0.1")
listening(app.getHttpServer())
